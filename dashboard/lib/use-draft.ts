import { useState } from 'preact/hooks';

/**
 * Keeps unsent text in the session storage of the tab: it survives navigation, a reload and the end of a session. The field
 * must be read-only while its text is being sent.
 * @returns the text, a setter, and a function that clears the draft unless another field has changed it since
 */
export function useDraft(name: string): [text: string, setText: (text: string) => void, clear: () => void] {
  const [draft, setDraft] = useState({ name, text: loadDraft(name) });
  const text = draft.name === name ? draft.text : loadDraft(name);
  const setText = (next: string) => {
    saveDraft(name, next);
    setDraft({ name, text: next });
  };
  return [text, setText, () => loadDraft(name) === text && setText('')];
}

export function loadDraft(name: string): string {
  return sessionStorage.getItem(`pullwright:${name}`) ?? '';
}

export function saveDraft(name: string, text: string): void {
  if (text === '') sessionStorage.removeItem(`pullwright:${name}`);
  else sessionStorage.setItem(`pullwright:${name}`, text);
}
