import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from '../src/index.ts';

test('reads one unit by its symbol, its name and its plural', () => {
  for (const text of ['90s', '90 s', '90 sec', '90 seconds', '90 SECONDS']) assert.equal(parse(text), 90_000, text);
});

test('reads several units', () => {
  assert.equal(parse('1h 30m'), 5_400_000);
  assert.equal(parse('1h30m'), 5_400_000);
  assert.equal(parse('2 days, 4 hours and 1 minute'), 187_260_000);
});

test('distinguishes minutes from milliseconds', () => {
  assert.equal(parse('5m'), 300_000);
  assert.equal(parse('5ms'), 5);
});

test('reads fractions and signs', () => {
  assert.equal(parse('1.5h'), 5_400_000);
  assert.equal(parse('-2d'), -172_800_000);
  assert.equal(parse('+2d'), 172_800_000);
});

test('requires units from large to small, each once', () => {
  assert.throws(() => parse('30m 1h'), SyntaxError);
  assert.throws(() => parse('1h 2h'), SyntaxError);
});

test('rejects other text', () => {
  for (const text of ['', ' ', 'soon', '10', '1 fortnight', '1h later', '--1h']) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});
