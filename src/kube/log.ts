import type { Logger } from 'pino'

/** The part of a logger that is used here: constant message, variables as fields, faults under `err`. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
