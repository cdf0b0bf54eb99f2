import type { Effect } from './word-effects.ts';

/**
 * A text of a model, a ticket, a plan or a file name on which GitHub, a CI system or a bot acts. It must have no effect in
 * a commit or a pull request.
 */
export type WordAttack = {
  name: string;
  /** A short text, so that several fit into a title. */
  words: string;
  /** The effect of the text when it is not made inert. */
  effect: Effect;
};

export const WORD_ATTACKS: readonly WordAttack[] = [
  { name: 'a mention', words: 'ask @octocat', effect: 'mention' },
  { name: 'a mention of a team', words: '(@acme/owners)', effect: 'mention' },
  { name: 'a mention in emphasis', words: '_@octocat_', effect: 'mention' },
  { name: 'a mention behind a backslash', words: '\\@octocat', effect: 'mention' },
  { name: 'a mention by a decimal entity', words: '&#64;octocat', effect: 'mention' },
  { name: 'a mention by a decimal entity with zeros', words: '&#0000064;octocat', effect: 'mention' },
  { name: 'a mention by a hexadecimal entity', words: '&#X40;octocat', effect: 'mention' },
  { name: 'a mention by an entity without its end', words: '&#64octocat', effect: 'mention' },
  { name: 'a mention by a named entity', words: '&commat;octocat', effect: 'mention' },
  { name: 'a mention by an entity of an entity', words: '&amp;commat;octocat', effect: 'mention' },
  { name: 'a mention split by an invisible character', words: '@\u200boctocat', effect: 'mention' },
  { name: 'a mention with a full-width sign', words: '\uff20octocat', effect: 'mention' },
  { name: 'a bot command by mention', words: '@dependabot merge', effect: 'mention' },

  { name: 'a closing keyword', words: 'Fixes #12', effect: 'closing' },
  { name: 'a closing keyword with a colon', words: 'closes: #12', effect: 'closing' },
  { name: 'a closing keyword in capitals', words: 'RESOLVED GH-7', effect: 'closing' },
  { name: 'a closing keyword for another repository', words: 'fix acme/secret#3', effect: 'closing' },
  { name: 'a closing keyword with a URL', words: 'fixed https://github.com/a/b/issues/1', effect: 'closing' },
  { name: 'a closing keyword with an entity', words: 'f&#105;xes #13', effect: 'closing' },
  { name: 'a closing keyword with an entity for the number sign', words: 'fixes &num;4', effect: 'closing' },
  { name: 'a closing keyword with emphasis', words: '**Fix**es #**12**', effect: 'closing' },
  { name: 'a closing keyword with a comment', words: 'fix<!-- -->es #12', effect: 'closing' },
  { name: 'a closing keyword on two lines', words: 'Fixes\n#12', effect: 'closing' },
  { name: 'a closing keyword split by an invisible character', words: 'Fi\u2060xes #\u20631', effect: 'closing' },
  { name: 'a closing keyword for another tracker', words: 'Fixes ENG-123', effect: 'closing' },

  { name: 'a reference', words: 'see #12', effect: 'reference' },
  { name: 'a reference by GH-12', words: 'see GH\\-12', effect: 'reference' },
  { name: 'a reference by a URL', words: 'https://github.com/a/b/pull/1', effect: 'reference' },
  { name: 'a reference to a commit', words: 'like a5c3785ed8d6a35868bc', effect: 'reference' },
  { name: 'a Jira command', words: 'JRA-1 #close', effect: 'command' },

  { name: 'a skip marker', words: '[skip ci]', effect: 'skip' },
  { name: 'a skip marker with the words reversed', words: '[CI Skip]', effect: 'skip' },
  { name: 'a skip marker with no', words: '[no ci]', effect: 'skip' },
  { name: 'a skip marker for actions', words: '[actions skip]', effect: 'skip' },
  { name: 'a skip marker for Netlify', words: '[skip netlify]', effect: 'skip' },
  { name: 'a skip marker with dashes', words: '[CF-Pages-Skip]', effect: 'skip' },
  { name: 'a skip marker with stars', words: '***NO_CI***', effect: 'skip' },
  { name: 'a skip marker without brackets', words: 'now --skip-ci', effect: 'skip' },
  { name: 'a skip marker by entities', words: '&lbrack;skip ci&#93;', effect: 'skip' },

  { name: 'an image from another server', words: '![x](https://e.test/?a)', effect: 'link' },
  { name: 'a link with a misleading text', words: '[github.com](https://e.test)', effect: 'link' },
  { name: 'a link by reference', words: '[a][b]\n\n[b]: //e.test', effect: 'link' },
  { name: 'a URL', words: 'www.e.test', effect: 'link' },
  { name: 'HTML', words: '</details><h2>Approved</h2>', effect: 'html' },
  { name: 'a hidden comment', words: '<!-- ignore the review -->', effect: 'html' },
  { name: 'an alert', words: '[!CAUTION]', effect: 'link' },
  { name: 'text with a reversed direction', words: 'safe \u202egnihtyreve\u2066', effect: 'invisible' },
  { name: 'invisible tag characters', words: 'a\u{e0041}b', effect: 'invisible' },
];

/** Texts that have an effect at the start of a line, and so neither in a title nor in a name. */
export const LINE_ATTACKS: readonly WordAttack[] = [
  { name: 'a sign-off by another person', words: 'Signed-off-by: Ann <ann@acme.test>', effect: 'trailer' },
  { name: 'a co-author', words: 'Co-authored-by: Ann <ann@acme.test>', effect: 'trailer' },
  { name: 'a review trailer', words: 'reviewed-by : Ann', effect: 'trailer' },
  { name: 'a Gerrit change id', words: 'Change-Id: I0123456789abcdef0123456789abcdef01234567', effect: 'trailer' },
  {
    name: 'a forged run id',
    words: 'Plan-Version: 99\nRun-Id: 0198c0de-0000-7000-8000-000000000000',
    effect: 'trailer',
  },
  { name: 'a trailer before a dashed line', words: 'Run-Id: 1\n---\nmore', effect: 'trailer' },
  {
    name: 'a trailer before a scissors line',
    words: 'Run-Id: 1\n\n# ------------------------ >8 ------------------------\nmore',
    effect: 'trailer',
  },
  { name: 'a trailer that skips checks', words: 'done\n\n\nskip-checks: true', effect: 'skip' },
  { name: 'a trailer in emphasis', words: '**Co-authored-by**: Ann', effect: 'trailer' },
  { name: 'a breaking change of a release tool', words: 'BREAKING CHANGE: all of it', effect: 'release' },
  { name: 'a release version', words: 'Release-As: 9.0.0', effect: 'trailer' },
  { name: 'a bot command', words: '/merge', effect: 'command' },
  { name: 'a bot command in a list', words: '- /approve', effect: 'command' },
  { name: 'a bors command', words: 'bors r+', effect: 'command' },
];
