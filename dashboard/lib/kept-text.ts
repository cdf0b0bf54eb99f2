import { useState } from 'preact/hooks';

/**
 * What a person types, kept for this tab until it is used: a reload, a session that ends or a wrong click loses nothing.
 */
export function useKeptText(name: string): [text: string, setText: (text: string) => void] {
  const [held, setHeld] = useState({ name, text: readKept(name) });
  const text = held.name === name ? held.text : readKept(name);
  return [
    text,
    (next) => {
      keep(name, next);
      setHeld({ name, text: next });
    },
  ];
}

export function readKept(name: string): string {
  return sessionStorage.getItem(`pullwright:${name}`) ?? '';
}

export function keep(name: string, text: string): void {
  if (text === '') sessionStorage.removeItem(`pullwright:${name}`);
  else sessionStorage.setItem(`pullwright:${name}`, text);
}
