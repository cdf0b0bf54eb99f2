import { defineConfig } from 'vite';

/** `npx vite dashboard` serves the page for development, with the API of a server on port 8000. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/dashboard/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: {
    // To the server the page is its own: it sees its name and its origin.
    proxy: { '/v1': { target: 'http://127.0.0.1:8000' } },
  },
  build: { target: 'es2023', modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
});
