/**
 * The plan in what the agent said: from the first heading of its last words on. Agents tend to think aloud before it.
 * @param segments texts of the turn, split where the agent called tools
 * @returns Markdown, or `undefined` when nothing was said
 */
export function planText(segments: readonly string[]): string | undefined {
  const last = segments.findLast((segment) => /^#{1,6} \S/m.test(segment)) ?? segments.at(-1) ?? '';
  const heading = last.search(/^#{1,6} \S/m);
  const plan = (heading === -1 ? last : last.slice(heading)).trim();
  return plan === '' ? undefined : plan;
}

/** First sentence of a plan's goal, for titles; `undefined` when there is none. */
export function planGoal(plan: string): string | undefined {
  const section = /^#{1,6}\s+Goal\s*\n+([^\n#][^\n]*)/im.exec(plan)?.[1] ?? /^#{1,6}\s+(.+)$/m.exec(plan)?.[1];
  return section?.replace(/[*_`]/g, '').trim() || undefined;
}
