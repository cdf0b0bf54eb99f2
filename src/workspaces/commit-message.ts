export type CommitText = { subject: string; body?: string; trailers?: readonly (readonly [string, string])[] };

const MAX_SUBJECT = 200;
const MAX_BODY = 20_000;

/** A commit message as git likes it: subject, blank line, body, blank line, trailers. Control characters are dropped. */
export function commitMessage({ subject, body, trailers = [] }: CommitText): { subject: string; text: string } {
  const oneLine = singleLine(subject).slice(0, MAX_SUBJECT) || 'Update';
  const parts = [oneLine];
  const paragraphs = printable(body ?? '')
    .slice(0, MAX_BODY)
    .trim();
  if (paragraphs !== '') parts.push(paragraphs);
  if (trailers.length > 0) parts.push(trailers.map(([name, value]) => `${name}: ${singleLine(value)}`).join('\n'));
  return { subject: oneLine, text: `${parts.join('\n\n')}\n`.toWellFormed() };
}

function singleLine(text: string): string {
  return printable(text).replace(/\s+/g, ' ').trim();
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be dropped
  return text.replace(/\r\n?/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '');
}
