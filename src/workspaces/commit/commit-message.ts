import { inertLine, inertQuote, type Redact } from '../../git/inert-text.ts';

export type CommitText = {
  /** By an agent or a ticket, like the body; behind words of the server, such as the id of the ticket. */
  subject: string;
  body?: string;
  /** The server's own, and what a person chose: the only ones of the commit. */
  trailers?: readonly (readonly [string, string])[];
};

const MAX_SUBJECT = 100;
const MAX_BODY = 4_000;

/**
 * Composes a commit message: an inert subject, the body as an inert quotation, and the trailers. git reads trailers from
 * the last paragraph only, and up to a line of dashes or scissors; the quotation can be none of these
 * (https://git-scm.com/docs/git-interpret-trailers).
 */
export function commitMessage(
  { subject, body = '', trailers = [] }: CommitText,
  redact: Redact,
): { subject: string; text: string } {
  const line = inertLine(subject, redact, MAX_SUBJECT) || 'Update';
  const quote = inertQuote(body, redact, MAX_BODY);
  const block = trailers.map(([name, value]) => `${name}: ${singleLine(value)}`).join('\n');
  const parts = [line, quote, block].filter((part) => part !== '');
  return { subject: line, text: `${parts.join('\n\n')}\n`.toWellFormed() };
}

function singleLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}
