import { parseGrep, type Filter } from '#loadtest/grep.ts'
import { parseHey, type LoadLimits, type LoadPlan } from '#loadtest/hey.ts'
import { parseCurl, parseWget, type FetchPlan } from '#loadtest/fetch-plan.ts'
import { parsed, refused, splitCommand, type Parsed } from '#loadtest/words.ts'

/** What a `cmd` of a hook asks for, as data: programs are imitated, none is started. Pure. */

/** One request or one load, and what its output must contain. Steps run in order; the first failure ends the command. */
export type Step = { readonly plan: LoadPlan | FetchPlan; readonly filters: readonly Filter[]; readonly quiet: boolean }

export const KNOWN_PROGRAMS = ['hey', 'curl', 'wget'] as const

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

function parseProgram(program: string, words: readonly string[], limits: LoadLimits): Parsed<LoadPlan | FetchPlan> {
  switch (program) {
    case 'hey': return parseHey(words, limits)
    case 'curl': return parseCurl(words)
    case 'wget': return parseWget(words)
    default: return refused(`${program.slice(0, 40)} is not run here; known are ${KNOWN_PROGRAMS.join(', ')}, and | grep after them`)
  }
}

/** How many requests at a time the command may have under way. */
export const workersOf = (steps: readonly Step[]): number => Math.max(1, ...steps.map(({ plan }) => (plan.kind === 'load' ? plan.workers : 1)))

/** Every URL that the command calls by name; redirects are checked on the way. */
export const urlsOf = (steps: readonly Step[]): readonly string[] => steps.map(({ plan }) => plan.url)
