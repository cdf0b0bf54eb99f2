/** A message of a person. */
const CONTENT = { role: 'user', parts: [{ text: 'fix it' }] };
const TOOLS = [
  {
    functionDeclarations: [
      {
        name: 'read_file',
        description: 'Reads a file.',
        parametersJsonSchema: {
          $schema: 'http://json-schema.org/draft-07/schema#',
          type: 'object',
          properties: { path: { type: ['string', 'null'], minLength: 1 }, any: { $ref: '#/$defs/any' } },
          required: ['path'],
          additionalProperties: false,
          $defs: { any: { anyOf: [{ type: 'array', items: { type: 'integer', minimum: 0 } }, { const: null }] } },
        },
      },
    ],
  },
];

/** A request with every field that Gemini CLI uses. */
export const ADMITTED = {
  contents: [
    CONTENT,
    {
      role: 'model',
      parts: [
        { text: 'I look at it.', thought: true, thoughtSignature: 'c2ln' },
        { functionCall: { id: '1', name: 'read_file', args: { file_data: 'data for the model' } } },
      ],
    },
    {
      role: 'user',
      parts: [
        {
          functionResponse: {
            id: '1',
            name: 'read_file',
            response: { output: 'x', tools: [{ url_context: {} }] },
            parts: [{ inlineData: { mimeType: 'image/png', data: 'iVBORw0=' } }],
          },
        },
        { inlineData: { mimeType: 'application/pdf', data: 'JVBERi0=' } },
      ],
    },
  ],
  systemInstruction: { role: 'user', parts: [{ text: 'You are an agent.' }] },
  tools: TOOLS,
  toolConfig: { functionCallingConfig: { mode: 'AUTO', allowedFunctionNames: ['read_file'] } },
  generationConfig: {
    ...{ temperature: 1, topP: 0.95, topK: 64, candidateCount: 1, maxOutputTokens: 1024, stopSequences: ['END'] },
    responseMimeType: 'application/json',
    responseJsonSchema: { type: 'OBJECT', properties: { choice: { type: 'STRING', enum: ['a', 'b'] } } },
    thinkingConfig: { includeThoughts: true, thinkingBudget: 512, thinkingLevel: 'HIGH' },
  },
  safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }],
};

const part = (value: object) => ({ contents: [{ role: 'user', parts: [value] }] });
const tool = (value: object) => ({ tools: [...TOOLS, value] });
const declared = (value: object) => tool({ functionDeclarations: [{ name: 'x', parametersJsonSchema: value }] });

/** Requests that a fooled agent could send to the provider, each with the path that the proxy refuses. */
export const REFUSED: readonly [path: string, request: object][] = [
  ['tools[1].urlContext', tool({ urlContext: {} })],
  ['tools[1].googleSearch', tool({ googleSearch: {} })],
  ['tools[1].googleSearchRetrieval', tool({ googleSearchRetrieval: { dynamicRetrievalConfig: {} } })],
  ['tools[1].codeExecution', tool({ codeExecution: {} })],
  ['tools[1].googleMaps', tool({ googleMaps: {} })],
  ['tools[1].computerUse', tool({ computerUse: {} })],
  ['tools[1].fileSearch', tool({ fileSearch: { fileSearchStoreNames: ['x'] } })],
  ['tools[1].mcpServers', tool({ mcpServers: [{ url: 'http://evil.example' }] })],
  ['tools[1].enterpriseWebSearch', tool({ enterpriseWebSearch: {} })],
  ['tools[1].retrieval', tool({ retrieval: {} })],
  ['tools[1].newTool', tool({ newTool: {} })],
  ['tools[1].urlContext', tool({ functionDeclarations: [], urlContext: {} })],
  ['tools[0]', { tools: ['urlContext'] }],
  ['tools', { tools: { urlContext: {} } }],
  ['tools[1].functionDeclarations[0].behavior', tool({ functionDeclarations: [{ name: 'x', behavior: 'BLOCKING' }] })],
  ['tools[1].functionDeclarations[0].parametersJsonSchema.$ref', declared({ $ref: 'https://evil.example/schema' })],
  [
    'tools[1].functionDeclarations[0].parametersJsonSchema.properties.a.items.$ref',
    declared({ properties: { a: { items: { $ref: 'http://evil.example/' } } } }),
  ],
  ['tools[1].functionDeclarations[0].parametersJsonSchema.$id', declared({ $id: 'https://evil.example/schema' })],
  ['toolConfig.retrievalConfig', { toolConfig: { retrievalConfig: { latLng: {} } } }],
  [
    'toolConfig.includeServerSideToolInvocations',
    { toolConfig: { includeServerSideToolInvocations: true, functionCallingConfig: {} } },
  ],
  ['contents[0].parts[0].fileData', part({ fileData: { fileUri: 'https://evil.example/?x', mimeType: 'text/plain' } })],
  ['contents[0].parts[0].executableCode', part({ executableCode: { language: 'PYTHON', code: 'x' } })],
  ['contents[0].parts[0].codeExecutionResult', part({ codeExecutionResult: { outcome: 'OUTCOME_OK' } })],
  ['contents[0].parts[0].videoMetadata', part({ videoMetadata: { fps: 1 } })],
  ['contents[0].parts[0].toolCall', part({ toolCall: { toolType: 'URL_CONTEXT' } })],
  ['contents[0].parts[0].inlineData.fileUri', part({ inlineData: { mimeType: 'a/b', data: '', fileUri: 'x' } })],
  ['contents[0].parts[0].inlineData.data', part({ inlineData: { mimeType: 'a/b', data: { fileUri: 'x' } } })],
  [
    'contents[0].parts[0].functionResponse.parts[0].fileData',
    part({ functionResponse: { name: 'x', response: {}, parts: [{ fileData: { fileUri: 'gs://evil/x' } }] } }),
  ],
  ['contents[0].role', { contents: [{ role: 'system', parts: [] }] }],
  ['contents', { contents: { parts: [{ text: 'x' }] } }],
  ['contents[0].parts', { contents: [{ role: 'user', parts: { text: 'x' } }] }],
  ['systemInstruction.parts[0].fileData', { systemInstruction: { parts: [{ fileData: { fileUri: 'x' } }] } }],
  ['cachedContent', { cachedContent: 'cachedContents/x' }],
  ['labels', { labels: { a: 'b' } }],
  ['store', { store: true }],
  ['serviceTier', { serviceTier: 'priority' }],
  ['generationConfig.candidateCount', { generationConfig: { candidateCount: 8 } }],
  ['generationConfig.responseModalities', { generationConfig: { responseModalities: ['IMAGE'] } }],
  ['generationConfig.speechConfig', { generationConfig: { speechConfig: {} } }],
  ['generationConfig.temperature', { generationConfig: { temperature: null } }],
  ['constructor', { constructor: {} }],
  ['toString', { toString: 'x' }],
];

/** Bodies as text, which the API might parse in another way than the server. */
export const REFUSED_TEXTS: readonly [path: string, body: string][] = [
  ['__proto__', '{"__proto__":{"tools":[{"urlContext":{}}]}}'],
  ['tools[0].__proto__', '{"tools":[{"__proto__":{"urlContext":{}}}]}'],
  ['system_instruction', '{"system_instruction":{"parts":[]},"systemInstruction":{"parts":[]}}'],
  ['contents[0].parts[0].inline_data', '{"contents":[{"parts":[{"inlineData":{},"inline_data":{}}]}]}'],
  ['Tools', '{"Tools":[]}'],
  ['contentS', '{"contentS":[]}'],
  ['tools ', '{"tools ":[]}'],
  ['[tools]', '{"[tools]":[]}'],
  ['generationConfig.topK', '{"generationConfig":{"topK":1e999}}'],
  ['the body', '[]'],
  ['the body', 'null'],
  ['the body', '"x"'],
];

/** Converts field names to the snake_case spelling of protobuf's JSON. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [snakeName(name), snakeCase(item)]));
}

export function snakeName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
