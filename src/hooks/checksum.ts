import { canonicalDigest } from '#api/canonical-json.ts'
import type { CanaryStatus } from '#api/canary.ts'

const HEX_DIGITS = 10

/** Short hash of what is under analysis: pod template and tracked configs. It changes with the revision and with nothing else. */
export const checksumOf = ({ trackedConfigs = {}, lastAppliedSpec = '' }: Pick<CanaryStatus, 'trackedConfigs' | 'lastAppliedSpec'>): string =>
  canonicalDigest({ trackedConfigs, lastAppliedSpec }).slice(0, HEX_DIGITS)
