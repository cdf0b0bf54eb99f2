import { Type } from '@sinclair/typebox';
import { parseOtlpHeaders } from '../otlp-headers.ts';
import { decoded, httpUrl, SettingError, text } from './kinds.ts';

export const traceSettings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    httpUrl(
      'Address of an OpenTelemetry collector, such as http://localhost:4318. The server sends it a trace of each finished run, by OTLP over HTTP.',
    ),
  ),
  OTEL_EXPORTER_OTLP_HEADERS: decoded(
    Type.String({
      default: '',
      description:
        'Headers for the collector, `NAME=VALUE` with percent-encoded values. Comma-separated. The server keeps them secret.',
    }),
    (value): Readonly<Record<string, string>> => {
      const headers = parseOtlpHeaders(value);
      if (headers !== undefined) return headers;
      throw new SettingError(
        'is (not shown), which is not a list of headers. Write it like authorization=Bearer%20TOKEN.',
      );
    },
  ),
  OTEL_EXPORTER_OTLP_HEADERS_FILE: Type.Optional(
    text('File that contains the headers, instead of OTEL_EXPORTER_OTLP_HEADERS.'),
  ),
  OTEL_SERVICE_NAME: text('Name of this server in traces.', 'pullwright'),
};
