import { defineConfig } from 'vite';

/** `npx vite dashboard` serves the page for development, with the API of a server on port 8000. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/dashboard/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: {
    // Without `changeOrigin`, so that `Host` matches `Origin`, as the server requires of a session.
    proxy: { '/v1': { target: 'http://127.0.0.1:8000' } },
  },
  build: { target: 'es2023', modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
});
