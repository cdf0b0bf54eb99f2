import { readFile, writeFile } from 'node:fs/promises';
import { createMetrics } from '../src/telemetry/metrics.ts';

/** Generates the table of metrics in `docs/observability.md`. With `--check`, fails when it is outdated and writes nothing. */

const FILE = new URL('../docs/observability.md', import.meta.url);
const SECTION = /(<!-- metrics[^>]*-->\n)[\s\S]*?(<!-- \/metrics -->)/;

function table(): string {
  const rows = createMetrics('')
    .registry.getMetricsAsArray()
    .filter(({ name }) => name.startsWith('pullwright_'))
    .map((metric) => {
      const labels = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames : [];
      const named = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${metric.name}\` | ${metric.type} | ${named} | ${metric.help} |\n`;
    });
  return `\n| metric | type | labels | description |\n| --- | --- | --- | --- |\n${rows.join('')}\n`;
}

const text = await readFile(FILE, 'utf8');
if (!SECTION.test(text)) throw new Error('docs/observability.md has no marker for the metrics.');
const wanted = text.replace(SECTION, (_, begin: string, end: string) => `${begin}${table()}${end}`);
if (!process.argv.includes('--check')) await writeFile(FILE, wanted);
else if (wanted !== text) {
  console.error('docs/observability.md is outdated. Run: npm run docs');
  process.exit(1);
}
