import { render } from 'preact';
import { App } from './app.tsx';
import { loadDraft, saveDraft } from './lib/use-draft.ts';

// After an update of the server, its assets have other names. The page reloads once to get them; drafts survive.
window.addEventListener('vite:preloadError', () => {
  if (loadDraft('reloaded') === import.meta.url) return;
  saveDraft('reloaded', import.meta.url);
  location.reload();
});

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
