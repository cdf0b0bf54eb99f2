import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIso, parse, parseIso } from '../src/index.ts';

test('reads ISO 8601', () => {
  assert.equal(parseIso('PT1H30M'), 5_400_000);
  assert.equal(parseIso('P1W'), 604_800_000);
  assert.equal(parseIso('PT0.25S'), 250);
  assert.equal(parse('-P1DT12H'), -129_600_000);
});

test('rejects years, months and empty durations', () => {
  for (const text of ['P1Y', 'P1M', 'P', 'PT', 'P1DT', '1H']) assert.throws(() => parseIso(text), SyntaxError, text);
});

test('writes ISO 8601', () => {
  assert.equal(formatIso(0), 'PT0S');
  assert.equal(formatIso(129_600_000), 'P1DT12H');
  assert.equal(formatIso(-1250), '-PT1.25S');
});

test('reads what it writes', () => {
  for (const duration of [0, 1, 999, 60_000, 3_599_999, 90_061_001]) {
    assert.equal(parseIso(formatIso(duration)), duration);
  }
});
