import { inertLine, inertQuote, type Redact } from '../../git/inert-text.ts';

export type CommitText = {
  /** Foreign text, like the body, after words of the server such as the id of the ticket. */
  subject: string;
  body?: string;
  /** The only trailers of the commit. The server and people choose them. */
  trailers?: readonly (readonly [string, string])[];
};

const MAX_SUBJECT_CHARS = 100;
const MAX_BODY_CHARS = 4_000;

/**
 * Composes a commit message of an inert subject, the body as an inert quotation, and the trailers. git parses trailers in the
 * last paragraph only, up to a line of dashes or scissors. The quotation cannot forge any of these
 * (https://git-scm.com/docs/git-interpret-trailers).
 */
export function commitMessage(
  { subject, body = '', trailers = [] }: CommitText,
  redact: Redact,
): { subject: string; text: string } {
  const line = inertLine(subject, redact, MAX_SUBJECT_CHARS) || 'Update';
  const quote = inertQuote(body, redact, MAX_BODY_CHARS);
  const block = trailers.map(([name, value]) => `${name}: ${singleLine(value)}`).join('\n');
  const parts = [line, quote, block].filter((part) => part !== '');
  return { subject: line, text: `${parts.join('\n\n')}\n`.toWellFormed() };
}

function singleLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}
