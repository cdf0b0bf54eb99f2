import { useState } from 'preact/hooks';

/**
 * What a person types, kept for this tab until it is used: a reload, a session that ends or a wrong click loses nothing. While
 * it is being sent its field is to be read-only, and what was sent is forgotten unless it has changed in a field opened since.
 */
export function useKeptText(name: string): [text: string, setText: (text: string) => void, forget: () => void] {
  const [held, setHeld] = useState({ name, text: readKept(name) });
  const text = held.name === name ? held.text : readKept(name);
  const setText = (next: string) => {
    keep(name, next);
    setHeld({ name, text: next });
  };
  return [text, setText, () => readKept(name) === text && setText('')];
}

export function readKept(name: string): string {
  return sessionStorage.getItem(`pullwright:${name}`) ?? '';
}

export function keep(name: string, text: string): void {
  if (text === '') sessionStorage.removeItem(`pullwright:${name}`);
  else sessionStorage.setItem(`pullwright:${name}`, text);
}
