// Written by scripts/seccomp-filters.ts.

/** SHA-256 of the filter of each architecture. */
export const HASHES = {
  x64: 'd061ffcf1781832e9cc2326bcb9e177a43edc09e352964091eb745251bb6e06a',
  arm64: 'd14ade6f1e8b83b7eb2cfda5c473f61eee2aac03a44ceb49941d710fdcadf761',
} as const;
