import { render } from 'preact';
import { App } from './app.tsx';
import { loadDraft, saveDraft } from './lib/use-draft.ts';

// A server that was updated under the page has other files: the page begins anew, once, with what was typed.
window.addEventListener('vite:preloadError', () => {
  if (loadDraft('begun-anew') === import.meta.url) return;
  saveDraft('begun-anew', import.meta.url);
  location.reload();
});

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
