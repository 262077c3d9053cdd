import { apexName } from '#api/defaults.ts'
import type { Rule } from '#policy/rule.ts'

export const immutableNames: Rule = {
  id: 'immutable-names',
  default: 'deny',
  why: 'Everything that was made carries the old names: a change would leave it behind, serving, and nobody would update it again.',
  covers: ['10.19', '1.8.17'],
  check(canary, { old }) {
    const phase = old?.status?.phase ?? ''
    if (!old || phase === '' || phase === 'Initializing') return []
    const fix = 'delete the Canary and create another (the target goes on serving), or put the old name back'
    const [was, is] = [old.spec.targetRef, canary.spec.targetRef]
    return [
      ...(was.kind === is.kind && was.name === is.name ? [] : [{
        field: 'spec.targetRef', message: `${is.kind} ${is.name} was ${was.kind} ${was.name} when the Canary was initialised`, fix,
      }]),
      // Without a name of its own the apex follows the target, which was told above.
      ...(apexName(old) === apexName(canary) || (was.name !== is.name && canary.spec.service?.name === old.spec.service?.name) ? [] : [{
        field: 'spec.service.name', message: `${apexName(canary)} was ${apexName(old)} when the Canary was initialised`, fix,
      }]),
    ]
  },
}
