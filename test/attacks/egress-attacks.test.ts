import t from 'tap';
import { attackProxy } from './egress-arena.ts';
import { EGRESS_ATTACKS } from './egress-attacks.ts';

/**
 * Runs every attack of the table on the egress proxy. `node test/attacks/prove-client-attacks.ts` shows that the
 * attacks succeed without the defences.
 */
for (const attack of EGRESS_ATTACKS) {
  t.test(attack.name, async (t) => {
    const { dialed, statuses, denials } = await attackProxy(attack);
    t.notMatch(dialed, attack.harm);
    if (dialed === '') {
      for (const [index, status] of statuses.entries())
        t.match(status, /^HTTP\/1.1 403 /, attack.requests[index] ?? '');
      t.ok(denials > 0, 'the denial was reported');
    }
  });
}
