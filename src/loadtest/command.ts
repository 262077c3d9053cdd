import { parseDuration } from '#api/duration.ts'
import { parseGrep, type Filter } from '#loadtest/grep.ts'
import { parseHey, type LoadLimits, type LoadPlan } from '#loadtest/hey.ts'
import { parseCurl, parseWget, type FetchPlan } from '#loadtest/fetch-plan.ts'
import { parseHealthProbe, type HealthPlan } from '#loadtest/health-plan.ts'
import { parsed, refused, splitCommand, type Parsed } from '#loadtest/words.ts'

/** What a `cmd` of a hook asks for, as data: programs are imitated, none is started. Pure. */

/** A pause (ms). */
export type SleepPlan = { readonly kind: 'sleep'; readonly milliseconds: number }
export type Plan = LoadPlan | FetchPlan | HealthPlan | SleepPlan

/** One request or one load, and what its output must contain. Steps run in order; the first failure ends the command. */
export type Step = { readonly plan: Plan; readonly filters: readonly Filter[]; readonly quiet: boolean }

export const KNOWN_PROGRAMS = ['hey', 'curl', 'wget', 'grpc_health_probe', 'sleep'] as const

const MAX_STEPS = 20

export function parseCommand(text: string, limits: LoadLimits): Parsed<readonly Step[]> {
  const simple = splitCommand(text)
  if (!simple.ok) return simple
  const steps: Step[] = []
  let isFed = false
  for (const { words: [program = '', ...words], quiet, next } of simple.value) {
    if (isFed) {
      const filter = program === 'grep' ? parseGrep(words) : refused(`output can be piped to grep, not to ${program.slice(0, 40)}`)
      if (!filter.ok) return filter
      const last = steps.at(-1)
      if (last) steps[steps.length - 1] = { ...last, filters: [...last.filters, filter.value], quiet: last.quiet || quiet || filter.value.quiet }
    } else {
      const plan = parseProgram(program, words, limits)
      if (!plan.ok) return plan
      steps.push({ plan: plan.value, filters: [], quiet })
    }
    isFed = next === '|'
  }
  return steps.length > MAX_STEPS ? refused(`a command has at most ${MAX_STEPS} parts here`) : parsed(steps)
}

function parseProgram(program: string, words: readonly string[], limits: LoadLimits): Parsed<Plan> {
  switch (program) {
    case 'hey': return parseHey(words, limits)
    case 'curl': return parseCurl(words)
    case 'wget': return parseWget(words)
    case 'grpc_health_probe': return parseHealthProbe(words)
    case 'sleep': return parseSleep(words)
    default: return refused(`${program.slice(0, 40)} is not run here; known are ${KNOWN_PROGRAMS.join(', ')}, and | grep after them; Flagger's own load tester can run beside this one for other programs`)
  }
}

function parseSleep([text = '', ...more]: readonly string[]): Parsed<SleepPlan> {
  const milliseconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1_000 : parseDuration(text)
  return milliseconds === undefined || more.length > 0 ? refused('sleep takes one time here, like 10 or 10s') : parsed({ kind: 'sleep', milliseconds })
}

/** How many requests at a time the command may have under way. */
export const workersOf = (steps: readonly Step[]): number => Math.max(1, ...steps.map(({ plan }) => (plan.kind === 'load' ? plan.workers : 1)))

/** Every URL that the command calls by name; redirects are checked on the way. */
export const urlsOf = (steps: readonly Step[]): readonly string[] => steps.flatMap(({ plan }) => (plan.kind === 'sleep' ? [] : [plan.url]))
