import type { Fault } from './model-agent.ts'
import type { Action, Scenario } from './scenarios.ts'

/** Runs that broke a promise once, as small as they could be made: they are run first, whatever the seed. */

const calm = { isAdopted: true, faults: [], lags: [], ends: 'promote', metrics: 'good' } as const
const after = (action: Action, ...pauses: readonly number[]): Scenario['steps'][number] => ({ action, pauses })
const none: Fault = 'none'

export const COUNTEREXAMPLES: readonly { readonly name: string; readonly scenario: Scenario }[] = [
  {
    name: 'a status that is refused, as a command came in between: what was saved just before is not forgotten for an older copy, and pods stay until requests have left them',
    scenario: {
      ...calm, spec: 0, isAdopted: false, lags: [1, 0, 0, 0, 0, 5, 0, 5, 0],
      steps: [
        after({ do: 'image', revision: 'v3' }, 0, 6_000, 0, 1_100, 0), after({ do: 'editRoutes', weight: 0 }, 0, 0, 0), after({ do: 'scale', replicas: 0, how: 'scale' }, 0, 0, 0),
        after({ do: 'image', revision: 'v1' }, 0, 0, 0, 0, 0), after({ do: 'editRoutes', weight: 100 }, 6_000), after({ do: 'command', command: 'promote' }, 0),
      ],
    },
  },
  {
    // On replica ratios a canary without pods looks like "all weight on the primary" while the apex still selects both.
    name: 'an abort beside a broken primary, the canary scaled to zero by hand: the apex goes back to the primary alone',
    scenario: {
      ...calm, spec: 2,
      steps: [
        after({ do: 'image', revision: 'v2' }, 0), after({ do: 'broken', role: 'primary', is: true }, 6_000), after({ do: 'metrics', metrics: 'good' }, 1_100),
        after({ do: 'command', command: 'abort' }), after({ do: 'editWorkload', role: 'canary', how: 'zero' }),
      ],
    },
  },
  {
    name: 'routes put back by others after they were released for a deletion: they leave again before the primary goes',
    scenario: {
      ...calm, spec: 0, faults: [none, none, none, 'lost', none], lags: [1, 0, 0, 5, 0, 0],
      steps: [
        after({ do: 'image', revision: 'v2' }, 0), after({ do: 'delete' }, 3_000), after({ do: 'editRoutes', weight: 37 }, 0, 6_000),
        after({ do: 'image', revision: 'v2' }, 0, 3_000), after({ do: 'editRoutes', weight: 37 }),
      ],
    },
  },
  {
    name: 'a promotion whose canary and primary are both without pods: no weight goes to either anew',
    scenario: {
      ...calm, spec: 4, lags: [0, 5, 5, 1, 5, 0, 0],
      steps: [
        after({ do: 'restart' }, 0, 0, 0), after({ do: 'image', revision: 'v3' }, 6_000, 1_100, 0, 3_000, 0), after({ do: 'editRoutes', weight: 0 }, 0, 0, 400, 6_000),
        after({ do: 'command', command: 'skip-step' }, 0, 3_000, 3_000), after({ do: 'editWorkload', role: 'primary', how: 'zero' }),
        after({ do: 'broken', role: 'canary', is: true }, 1_100, 3_000),
      ],
    },
  },
  {
    name: 'a promotion whose canary was changed by hand: no weight goes to what nobody analysed',
    scenario: {
      ...calm, spec: 3,
      steps: [
        after({ do: 'image', revision: 'v3' }, 0, 3_000, 3_000, 3_000, 3_000), after({ do: 'command', command: 'promote' }, 0, 0, 6_000),
        after({ do: 'editRoutes', weight: 0 }), after({ do: 'editWorkload', role: 'canary', how: 'revision' }),
      ],
    },
  },
  {
    name: 'an owner who scales the target to nothing in the moment in which it takes over from a deleted Canary',
    scenario: {
      ...calm, spec: 0, isAdopted: false, lags: [0, 0, 0, 0, 0, 0, 2, 1],
      steps: [
        after({ do: 'broken', role: 'primary', is: false }), after({ do: 'command', command: 'promote' }, 0), after({ do: 'restart' }, 0, 0, 0, 0),
        after({ do: 'metrics', metrics: 'good' }, 6_000, 0), after({ do: 'image', revision: 'v4' }, 6_000, 0, 0, 0), after({ do: 'delete' }, 0, 0, 3_000, 0, 0, 3_000),
        after({ do: 'suspend' }, 3_000), after({ do: 'scale', replicas: 0, how: 'scale' }, 0),
      ],
    },
  },
]
