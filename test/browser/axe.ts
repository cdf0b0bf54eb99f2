import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';

const AXE = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** The color schemes and window widths in pixels to check. */
const VARIANTS = [
  { scheme: 'light', width: 1280 },
  { scheme: 'light', width: 400 },
  { scheme: 'dark', width: 400 },
  { scheme: 'dark', width: 1280 },
] as const;

/** Returns the violations that axe-core (https://github.com/dequelabs/axe-core) finds, and pages wider than the window. */
export async function violations(page: Page): Promise<string[]> {
  const found: string[] = [];
  const before = page.viewportSize();
  for (const { scheme, width } of VARIANTS) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 860 });
    // The content security policy of the page does not apply to an evaluation by the debugger.
    await page.evaluate(AXE);
    const seen: string[] =
      await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ': ' + html.slice(0, 200) + ' ' + failureSummary)))`);
    const wide: number = await page.evaluate('document.documentElement.scrollWidth');
    if (wide > width) seen.push(`the page is ${wide} pixels wide`);
    found.push(...seen.map((text) => `${scheme} ${width}: ${text}`));
  }
  await page.emulateMedia({ colorScheme: 'light' });
  if (before !== null) await page.setViewportSize(before);
  return found;
}
