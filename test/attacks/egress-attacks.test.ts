import t from 'tap';
import { tryToLeave } from './egress-arena.ts';
import { EGRESS_ATTACKS } from './egress-attacks.ts';

/**
 * Every attack of the table on the proxy to the outside. That they work without the defences is seen by
 * `node test/attacks/prove-client-attacks.ts`.
 */
for (const attack of EGRESS_ATTACKS) {
  t.test(attack.name, async (t) => {
    const { dialed, statuses, denials } = await tryToLeave(attack);
    t.notMatch(dialed, attack.harm);
    if (dialed === '') {
      for (const [index, status] of statuses.entries())
        t.match(status, /^HTTP\/1.1 403 /, attack.requests[index] ?? '');
      t.ok(denials > 0, 'it was told');
    }
  });
}
