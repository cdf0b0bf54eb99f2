import t from 'tap';
import { json, makeProxy, PLAIN, type ReceivedRequest, STREAM, usage } from './fixtures.ts';

const prompt = { role: 'user', parts: [{ text: 'fix it' }] };
const called = (name: string, args: object) => ({ role: 'model', parts: [{ functionCall: { name, args } }] });
const returned = (name: string, response: object) => ({
  role: 'user',
  parts: [{ functionResponse: { name, response } }],
});
const partsSent = ({ body }: ReceivedRequest) =>
  JSON.parse(body).contents.map(({ parts }: { parts: { text?: string }[] }) => parts.map((part) => part.text ?? '-'));

t.test('the proxy inserts a hint near a limit, and keeps it at the same position', async (t) => {
  const { begin, call, received } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin({ unit: 'turns', limit: 10, used: 8 });
  const contents: object[] = [prompt];
  const ask = () => call(STREAM, { body: JSON.stringify({ contents, tools: [] }) });
  await ask();
  contents.push(called('glob', {}), returned('glob', { output: 'x' }));
  await ask();
  t.same(received.map(partsSent), [[['fix it']], [['fix it'], ['-'], ['-', 'near THE_LIMIT: 9 of 10 turns used']]]);
  t.match(JSON.parse(received[1]?.body ?? '').tools, [], 'the other fields are unchanged');
  t.equal((await ask()).status, 403, 'no call passes at the limit');

  const other = await makeProxy(t, (response) => json(response, usage(10, 10)));
  other.begin({ unit: 'tokens', limit: 1000, used: 880 });
  for (const length of [1, 3, 5]) {
    const longer = [prompt, called('a', {}), returned('a', {}), called('b', {}), returned('b', {})].slice(0, length);
    await other.call(STREAM, { body: JSON.stringify({ contents: longer }) });
  }
  const near = 'near THE_LIMIT: 900 of 1000 tokens used';
  t.same(
    other.received.map(partsSent),
    [[['fix it']], [['fix it'], ['-'], ['-', near]], [['fix it'], ['-'], ['-', near], ['-'], ['-']]],
    'the hint is in each call from 900 tokens on',
  );
});

t.test('the proxy inserts hints only into messages of the user when the agent has shortened its history', async (t) => {
  const { begin, call, received } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin({ unit: 'turns', limit: 100, used: 90 });
  const ask = (...contents: object[]) => call(STREAM, { body: JSON.stringify({ contents }) });
  const ran = [called('a', {}), returned('a', {})];
  await ask(prompt, ...ran, ...ran);
  const summary = [
    { role: 'user', parts: [{ text: 'so far' }] },
    { role: 'model', parts: [{ text: 'Got it.' }] },
  ];
  const near = 'near THE_LIMIT: 90 of 100 turns used';
  await ask(...summary, ...ran, ...ran, ...ran);
  await ask(...summary, ...ran);
  t.same(received.map(partsSent), [
    [['fix it'], ['-'], ['-'], ['-'], ['-', near]],
    [['so far'], ['Got it.'], ['-'], ['-'], ['-'], ['-', near], ['-'], ['-']],
    [['so far'], ['Got it.'], ['-'], ['-', near]],
  ]);
});

t.test('the proxy inserts a hint at nine tenths of the time limit, and only into conversations', async (t) => {
  const { begin, call, received } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin({ unit: 'seconds', limit: 1000, used: 899 });
  const body = JSON.stringify({ contents: [prompt] });
  await call(STREAM, { body });
  begin({ unit: 'seconds', limit: 1000, used: 900 });
  await call(PLAIN, { body });
  await call(STREAM, { body });
  const near = 'near THE_LIMIT: 900 of 1000 seconds elapsed';
  t.same(received.map(partsSent), [[['fix it']], [['fix it']], [['fix it', near]]]);
});

t.test('the proxy inserts a hint when the same tool call fails three times', async (t) => {
  const { begin, call, received } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin();
  const contents: object[] = [prompt];
  const ask = async (...more: object[]) => {
    contents.push(...more);
    await call(STREAM, { body: JSON.stringify({ contents }) });
    return partsSent(received.at(-1) ?? { body: '', method: '', url: '', headers: {} })
      .flat()
      .filter((text: string) => /^failed/.test(text));
  };
  const test = called('run_shell_command', { command: 'npm tset' });
  const failed = (pid: number) =>
    returned('run_shell_command', { output: `Output: Unknown command\nExit Code: 1\nProcess Group PGID: ${pid}` });
  const words = 'failed 3 times: run_shell_command {"command":"npm tset"}';
  t.same(await ask(test, failed(7), test, failed(9)), []);
  t.same(await ask(test, failed(11)), [words]);
  t.same(await ask(test, failed(12)), [words], 'the hint is inserted once, and keeps its position');
  t.same(await ask(test, returned('run_shell_command', { output: 'Output: fine' })), [words]);
  const read = called('read_file', { file_path: 'a' });
  const gone = returned('read_file', { error: 'File not found' });
  t.same(
    await ask(read, gone, called('read_file', { file_path: 'b' }), gone, read, gone),
    [words],
    'other calls in between do not count',
  );
  const forbidden = returned('read_file', { error: 'Permission denied' });
  t.same(await ask(read, forbidden, read, gone), [words], 'other failures in between start a new count');
  t.same(await ask(read, gone, read, gone), [words, 'failed 3 times: read_file {"file_path":"a"}']);
});
