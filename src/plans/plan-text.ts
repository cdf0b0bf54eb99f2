const HEADING = /^#{1,6} \S/m;

/**
 * Extracts the plan from an answer: the last segment with a heading, from that heading on. Agents tend to think aloud
 * before a plan, and some put it into a fence.
 * @param segments texts of the turn, split where the agent called tools
 * @returns Markdown; undefined when no segment has a heading
 */
export function extractPlan(segments: readonly string[]): string | undefined {
  const text = segments.findLast((segment) => HEADING.test(segment));
  if (text === undefined) return undefined;
  const fenced = /^(`{3,}|~{3,})(?:markdown|md)?\n(#[\s\S]*?)\n\1/m.exec(text)?.[2];
  const plan = fenced ?? text;
  return plan.slice(plan.search(HEADING)).trim();
}

/** Returns the first line of a plan's goal, or else its first heading, for titles. */
export function planGoal(plan: string): string | undefined {
  // Adjacent parts of the pattern share no character: otherwise a plan of blank lines would take minutes.
  const section =
    /^#{1,6}[^\S\n]+Goal[^\S\n]*\n\s*([^\s#][^\n]*)/im.exec(plan)?.[1] ?? /^#{1,6}\s+(.+)$/m.exec(plan)?.[1];
  return section?.replace(/[*_`]/g, '').trim() || undefined;
}
