import type { Cases } from '../canaries.ts'
import { hookCases } from './hooks.ts'
import { metricCases } from './metrics.ts'
import { references } from './references.ts'
import { routing } from './routing.ts'
import { timing } from './timing.ts'
import { weights } from './weights.ts'

/** The table of every rule about Canaries, by id. */
export const CASES: Readonly<Record<string, Cases>> = { ...weights, ...timing, ...routing, ...metricCases, ...hookCases, ...references }
