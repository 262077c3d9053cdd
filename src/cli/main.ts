#!/usr/bin/env node
import { parseArgs } from 'node:util'

/** `kubectl-canary`: what the agent would do, told beforehand. Commands are loaded when they are called, so that each starts at once. */

const USAGE = `usage: kubectl-canary <command> [options]

  simulate -f canary.yaml --scenario scenario.yaml [--name NAME] [-o text|json]
                                 run a rollout on a virtual clock: a unit test of its settings
  plan -f canary.yaml [--name NAME] [-o text|json]
                                 steps, duration, time to a rollback, worst-case exposure
  replay --vectors FILE [-o text|json]
                                 the judge's answers to recorded counts
  lint -f canary.yaml [-o ...]   what admission would refuse; see lint --help
  version
  help

Exit codes: 0 done, 1 findings (lint), 2 the input or the command line cannot be used.
`

type Output = { readonly out: (text: string) => void; readonly err: (text: string) => void }
const stdio: Output = { out: (text) => { process.stdout.write(text) }, err: (text) => { process.stderr.write(text) } }

const COMMAND_OPTIONS = {
  filename: { type: 'string', short: 'f' }, scenario: { type: 'string' }, vectors: { type: 'string' }, name: { type: 'string' },
  output: { type: 'string', short: 'o', default: 'text' }, help: { type: 'boolean', short: 'h' },
} as const

/** Runs one command line; answers the exit code. */
export async function main(argv: readonly string[], io: Output = stdio): Promise<number> {
  const [command = 'help', ...rest] = argv
  if (command === 'lint') return (await import('#cli/lint.ts')).lintCommand(rest)
  try {
    return await run(command, rest, io)
  } catch (err) {
    const isInput = err instanceof Error && (err.constructor.name === 'InputError' || ('code' in err && String(err.code).startsWith('ERR_PARSE_ARGS')))
    io.err(`kubectl-canary ${command}: ${err instanceof Error ? (isInput ? err.message : err.stack ?? err.message) : String(err)}\n`)
    return isInput ? 2 : 1
  }
}

async function run(command: string, rest: readonly string[], io: Output): Promise<number> {
  if (command === 'help' || command === '--help' || command === '-h') {
    io.out(USAGE)
    return 0
  }
  if (command === 'version' || command === '--version') {
    const { readFileSync } = await import('node:fs')
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
    io.out(`${version}\n`)
    return 0
  }
  const { values } = parseArgs({ args: [...rest], options: COMMAND_OPTIONS })
  if (values.help) {
    io.out(USAGE)
    return 0
  }
  const { InputError } = await import('#cli/input.ts')
  const needed = (option: 'filename' | 'scenario' | 'vectors', flag: string): string => {
    const value = values[option]
    if (value === undefined) throw new InputError(`${flag} is missing\n${USAGE}`)
    return value
  }
  if (values.output !== 'text' && values.output !== 'json') throw new InputError(`-o ${values.output} is unknown; use text or json`)
  const print = <T>(answer: T, inWords: (answer: T) => string): number => {
    io.out(values.output === 'json' ? `${JSON.stringify(answer)}\n` : inWords(answer))
    return 0
  }
  switch (command) {
    case 'simulate': {
      const { simulateFiles, simulationText } = await import('#cli/simulate.ts')
      return print(simulateFiles(needed('filename', '-f canary.yaml'), needed('scenario', '--scenario scenario.yaml'), values.name), simulationText)
    }
    case 'plan': {
      const { planFile, planText } = await import('#cli/plan.ts')
      return print(planFile(needed('filename', '-f canary.yaml'), values.name), planText)
    }
    case 'replay': {
      const { replayFile, replayText } = await import('#cli/replay.ts')
      return print(replayFile(needed('vectors', '--vectors FILE')), replayText)
    }
    default:
      throw new InputError(`unknown command; use simulate, plan, replay, lint, version or help`)
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
