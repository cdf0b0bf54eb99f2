import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format } from '../src/index.ts';

test('writes the two largest units', () => {
  assert.equal(format(5_400_000), '1 h 30 min');
  assert.equal(format(93_784_000), '1 d 2 h');
  assert.equal(format(250), '250 ms');
});

test('writes at most the requested number of units', () => {
  assert.equal(format(93_784_000, { parts: 1 }), '1 d');
  assert.equal(format(93_784_000, { parts: 4 }), '1 d 2 h 3 min 4 s');
});

test('omits zero units', () => {
  assert.equal(format(3_600_000), '1 h');
  assert.equal(format(86_460_000, { parts: 3 }), '1 d 1 min');
});

test('writes names in the singular and the plural', () => {
  assert.equal(format(3_660_000, { style: 'long' }), '1 hour 1 minute');
  assert.equal(format(7_320_000, { style: 'long' }), '2 hours 2 minutes');
});

test('writes zero as seconds, and negative durations with a minus', () => {
  assert.equal(format(0), '0 s');
  assert.equal(format(0, { style: 'long' }), '0 seconds');
  assert.equal(format(-5_400_000), '-1 h 30 min');
});

test('rounds the last unit', () => {
  assert.equal(format(5_425_000), '1 h 30 min');
  assert.equal(format(5_435_000), '1 h 31 min');
});

test('carries into the next unit when rounding fills the last one', () => {
  assert.equal(format(3_599_600), '1 h');
});
