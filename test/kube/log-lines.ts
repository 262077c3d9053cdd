import { pino } from 'pino'
import type { Log } from '#kube/log.ts'

export type LogLine = { readonly level: number; readonly msg: string; readonly [field: string]: unknown }

/** A logger, and what it was told as parsed objects. */
export function createLogLines(): { readonly log: Log; readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  return { log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }), lines }
}
