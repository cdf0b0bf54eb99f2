import t from 'tap';
import { createProgressReader, type GitProgress } from '../../../src/git/progress.ts';

t.test('createProgressReader() reports the known stages of git in steps, from output in pieces', async (t) => {
  const seen: GitProgress[] = [];
  const read = createProgressReader((progress) => seen.push(progress));
  read('remote: Counting objects:   1% (1/100)\rremote: Counting obj');
  read('ects: 100% (100/100), done.\nReceiving objects:   0% (1/900)\rReceiving objects:   3% (27/900)\r');
  read('Receiving objects:   5% (45/900), 1.2 MiB | 2.4 MiB/s\rReceiving objects:  99% (899/900)\r');
  read('Receiving objects: 100% (900/900)\rReceiving objects: 100% (900/900), done.\n');
  read('remote: Send money: 50% (1/2)\nremote: Counting objects: 999% (1/1)\nwarning: 10% (x)\n');
  read('x'.repeat(100_000));
  t.strictSame(
    seen.map(({ stage, percent }) => `${stage} ${percent}`),
    [
      'counting objects 1',
      'counting objects 100',
      'receiving objects 0',
      'receiving objects 5',
      'receiving objects 99',
      'receiving objects 100',
    ],
  );
});
