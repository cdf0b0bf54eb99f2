import { useState } from 'preact/hooks';

/**
 * What a person types, kept for this tab until it is used: a reload, a session that ends or a wrong click loses nothing. While
 * it is being sent its field is to be read-only, and what was sent is forgotten unless it has changed in a field opened since.
 */
export function useDraft(name: string): [text: string, setText: (text: string) => void, forget: () => void] {
  const [held, setHeld] = useState({ name, text: loadDraft(name) });
  const text = held.name === name ? held.text : loadDraft(name);
  const setText = (next: string) => {
    saveDraft(name, next);
    setHeld({ name, text: next });
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
