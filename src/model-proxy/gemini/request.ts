import { isRecord } from '../../json/is-record.ts';
import type { RequestReader } from '../model-api.ts';
import { createShapeCheck } from '../request-shape.ts';
import { withConversation } from './history.ts';

const GENERATE = {
  contents: { list: 'Content' },
  systemInstruction: 'Content',
  tools: { list: 'Tool' },
  toolConfig: 'ToolConfig',
  generationConfig: 'GenerationConfig',
  safetySettings: { list: 'SafetySetting' },
} as const;

/** For keywords that take a JSON Schema. */
const SCHEMA = { either: ['Schema', 'boolean'] } as const;
const SCHEMAS = { list: 'Schema' } as const;
const SCHEMA_MAP = { map: 'Schema' } as const;

/**
 * The allow-list for requests to the Gemini API (https://ai.google.dev/api/generate-content). The model reads only the request
 * itself, and calls only functions that the agent executes. Fields that let the provider fetch, search, run or store anything are
 * not on it: server-side tools, `fileData`, `cachedContent`, remote tool servers.
 */
const check = createShapeCheck({
  GenerateContentRequest: GENERATE,
  CountTokensRequest: { contents: GENERATE.contents, generateContentRequest: 'CountedRequest' },
  CountedRequest: { model: 'string', ...GENERATE },

  Content: { role: { values: ['user', 'model'] }, parts: { list: 'Part' } },
  Part: {
    text: 'string',
    thought: 'boolean',
    thoughtSignature: 'string',
    inlineData: 'Blob',
    functionCall: 'FunctionCall',
    functionResponse: 'FunctionResponse',
  },
  Blob: { mimeType: 'string', data: 'string' },
  FunctionCall: { id: 'string', name: 'string', args: { map: 'json' } },
  FunctionResponse: {
    id: 'string',
    name: 'string',
    response: { map: 'json' },
    parts: { list: 'FunctionResponsePart' },
  },
  FunctionResponsePart: { inlineData: 'Blob' },

  Tool: { functionDeclarations: { list: 'FunctionDeclaration' } },
  FunctionDeclaration: {
    name: 'string',
    description: 'string',
    parameters: 'Schema',
    parametersJsonSchema: 'Schema',
    response: 'Schema',
    responseJsonSchema: 'Schema',
  },
  ToolConfig: { functionCallingConfig: 'FunctionCallingConfig' },
  FunctionCallingConfig: { mode: 'string', allowedFunctionNames: { list: 'string' } },

  GenerationConfig: {
    temperature: 'number',
    topP: 'number',
    topK: 'number',
    seed: 'number',
    presencePenalty: 'number',
    frequencyPenalty: 'number',
    candidateCount: { values: [1] },
    maxOutputTokens: 'number',
    stopSequences: { list: 'string' },
    responseMimeType: { values: ['text/plain', 'application/json', 'text/x.enum'] },
    responseSchema: 'Schema',
    responseJsonSchema: 'Schema',
    thinkingConfig: 'ThinkingConfig',
  },
  ThinkingConfig: { includeThoughts: 'boolean', thinkingBudget: 'number', thinkingLevel: 'string' },
  SafetySetting: { category: 'string', threshold: 'string' },

  /** The API's own schemas (https://ai.google.dev/api/caching#Schema) and JSON Schema. References stay within the schema. */
  Schema: {
    $schema: { matches: /^https?:\/\/json-schema\.org\// },
    $ref: { matches: /^#/ },
    $defs: SCHEMA_MAP,
    definitions: SCHEMA_MAP,
    type: { either: ['string', { list: 'string' }] },
    format: 'string',
    title: 'string',
    description: 'string',
    nullable: 'boolean',
    enum: { list: 'json' },
    const: 'json',
    default: 'json',
    example: 'json',
    examples: { list: 'json' },
    properties: SCHEMA_MAP,
    patternProperties: SCHEMA_MAP,
    additionalProperties: SCHEMA,
    propertyNames: SCHEMA,
    propertyOrdering: { list: 'string' },
    required: { list: 'string' },
    items: { either: ['Schema', 'boolean', SCHEMAS] },
    prefixItems: SCHEMAS,
    uniqueItems: 'boolean',
    anyOf: SCHEMAS,
    oneOf: SCHEMAS,
    allOf: SCHEMAS,
    not: SCHEMA,
    pattern: 'string',
    multipleOf: 'number',
    // The API's own schemas write 64-bit numbers as strings.
    minimum: 'number',
    maximum: 'number',
    exclusiveMinimum: { either: ['number', 'boolean'] },
    exclusiveMaximum: { either: ['number', 'boolean'] },
    minLength: { either: ['number', 'string'] },
    maxLength: { either: ['number', 'string'] },
    minItems: { either: ['number', 'string'] },
    maxItems: { either: ['number', 'string'] },
    minProperties: { either: ['number', 'string'] },
    maxProperties: { either: ['number', 'string'] },
  },
});

/** Reads the body of a call: `generateContent`, `streamGenerateContent` or `countTokens`. */
export const readGeminiRequest: RequestReader = (body, { model, usesTokens, isConversation }) => {
  const refused = check(usesTokens ? 'GenerateContentRequest' : 'CountTokensRequest', body);
  if (refused !== undefined || !isRecord(body)) return { refused: refused ?? 'the body' };
  const counted = body.generateContentRequest;
  if (isRecord(counted) && counted.model !== `models/${model}`) return { refused: 'generateContentRequest.model' };
  return isConversation ? withConversation(body) : { body: Buffer.from(JSON.stringify(body)) };
};
