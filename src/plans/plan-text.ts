const HEADING = /^#{1,6} \S/m;

/**
 * The plan in what the agent said: from the first heading of its last words on. Agents tend to think aloud before it,
 * and some put it into a fence.
 * @param segments texts of the turn, split where the agent called tools
 * @returns Markdown, or `undefined` when there is no heading, and so no plan
 */
export function extractPlan(segments: readonly string[]): string | undefined {
  const said = segments.findLast((segment) => HEADING.test(segment));
  if (said === undefined) return undefined;
  const fenced = /^(`{3,}|~{3,})(?:markdown|md)?\n(#[\s\S]*?)\n\1/m.exec(said)?.[2];
  const plan = fenced ?? said;
  return plan.slice(plan.search(HEADING)).trim();
}

/** First sentence of a plan's goal, for titles; `undefined` when there is none. */
export function planGoal(plan: string): string | undefined {
  // Neighbouring parts of the pattern have no character in common: otherwise a plan of blank lines would take minutes.
  const section =
    /^#{1,6}[^\S\n]+Goal[^\S\n]*\n\s*([^\s#][^\n]*)/im.exec(plan)?.[1] ?? /^#{1,6}\s+(.+)$/m.exec(plan)?.[1];
  return section?.replace(/[*_`]/g, '').trim() || undefined;
}
