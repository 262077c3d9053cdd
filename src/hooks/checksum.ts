import { createHash } from 'node:crypto'
import type { CanaryStatus } from '#api/canary.ts'
import { canonicalJson } from '#api/revision.ts'

const HEX_DIGITS = 10

/** Short hash of what is under analysis: pod template and tracked configs. It changes with the revision and with nothing else. */
export const checksumOf = ({ trackedConfigs = {}, lastAppliedSpec = '' }: Pick<CanaryStatus, 'trackedConfigs' | 'lastAppliedSpec'>): string =>
  createHash('sha256').update(canonicalJson({ trackedConfigs, lastAppliedSpec })).digest('hex').slice(0, HEX_DIGITS)
