import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import t, { type Test } from 'tap';

type Content = { example?: unknown; examples?: Record<string, { value?: unknown; $ref?: string }> };
type Answer = { content?: Record<string, Content> };
type Operation = { operationId: string; requestBody?: Answer; responses: Record<string, Answer> };

type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { examples: Record<string, { value: unknown }> };
};

const openapi: Document = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));

// `strict` would refuse `discriminator`, a keyword of OpenAPI but not of JSON Schema.
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(openapi, 'openapi');

const operations = Object.entries(openapi.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ at: `/paths/${token(path)}/${method}`, operation })),
);

/** A name as a part of a JSON Pointer (RFC 6901) in a URI fragment. */
function token(name: string): string {
  return encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function fits(t: Test, pointer: string, value: unknown, about: string): void {
  const valid = ajv.validate({ $ref: `openapi#${pointer}` }, value);
  t.ok(valid, about, { errors: ajv.errors });
}

function examplesOf({ example, examples = {} }: Content): unknown[] {
  const named = Object.values(examples).map(({ value, $ref }) => (value === undefined ? shared($ref ?? '') : value));
  return example === undefined ? named : [example, ...named];
}

function shared(reference: string): unknown {
  return openapi.components.examples[reference.replace('#/components/examples/', '')]?.value;
}

function framesOf(stream: string): EventSourceMessage[] {
  const frames: EventSourceMessage[] = [];
  createParser({ onEvent: (frame) => frames.push(frame) }).feed(stream);
  return frames;
}

t.test('each request and response has examples that match their schemas', async (t) => {
  t.ok(operations.length > 30);
  for (const { at, operation } of operations) {
    const { operationId, requestBody, responses } = operation;
    const answers = Object.entries(responses).filter(([status]) => status !== 'default');
    const contents = [
      [`${at}/requestBody`, requestBody?.content],
      ...answers.map(([status, answer]) => [`${at}/responses/${status}`, answer.content] as const),
    ] as const;
    for (const [pointer, content = {}] of contents) {
      for (const [type, media] of Object.entries(content)) {
        if (type === 'application/gzip') continue;
        const examples = examplesOf(media);
        t.not(examples.length, 0, `${operationId}: ${pointer} ${type} has an example`);
        for (const example of examples)
          fits(t, `${pointer}/content/${token(type)}/schema`, example, `${pointer} ${type}`);
      }
    }
  }
});

t.test('each error example has its HTTP status', async (t) => {
  for (const { operation } of operations) {
    const { operationId, responses } = operation;
    for (const [status, { content }] of Object.entries(responses)) {
      const problem = content?.['application/problem+json'];
      if (problem === undefined || status === 'default') continue;
      for (const example of examplesOf(problem))
        t.match(example, { status: Number(status) }, `${operationId} ${status}`);
    }
  }
});

t.test('the stream examples hold frames that match their schemas', async (t) => {
  const streamOf = (operationId: string) => {
    const found = operations.find(({ operation }) => operation.operationId === operationId);
    return framesOf(String(found?.operation.responses['200']?.content?.['text/event-stream']?.example));
  };

  const events = streamOf('getRunEvents');
  for (const { id, event, data } of events) {
    fits(t, '/components/schemas/Event', JSON.parse(data), `event ${id}`);
    t.match(JSON.parse(data), { seq: Number(id), type: event });
  }
  t.equal(events.at(-1)?.event, 'run.succeeded');

  const schemas: Record<string, string> = { 'ticket.created': 'Ticket', 'run.state': 'Run' };
  const [snapshot, ...changes] = streamOf('getChanges');
  t.match(snapshot, { event: 'snapshot' });
  for (const { event = '', data } of changes) fits(t, `/components/schemas/${schemas[event]}`, JSON.parse(data), event);

  const lines = streamOf('sendCommand');
  t.equal(lines.at(-1)?.data, '__END__');
});
