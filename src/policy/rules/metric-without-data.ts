import { lastLookFindings } from '#policy/last-look.ts'
import type { Rule } from '#policy/rule.ts'

export const metricWithoutData: Rule = {
  id: 'metric-without-data',
  default: 'warn',
  why: 'A metric that has no data fails its checks whatever the canary does: a wrong label or scrape rolls every release back.',
  check: (canary, context) => lastLookFindings(canary, context, 'no-data', (at) => ({
    message: `had no data when it was last asked (${at})`, fix: 'compare its query with what the pods of the canary export, and whether they are scraped; see the event CanaryCheckFailed',
  })),
}
