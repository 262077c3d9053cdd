/** The answer of a metric source. "No data", "source unavailable" and a value are three different things. */
export type Measurement =
  | { readonly kind: 'value'; readonly value: number }
  | { readonly kind: 'no-data'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

/** One metric of one check, judged against its threshold. */
export type CheckedMetric = {
  readonly name: string
  readonly measurement: Measurement
  /** Counts as a failed check: a value outside its bounds, or no data at all. The text is Flagger's. */
  readonly failure?: string
  /** Holds the weight and counts as nothing: the source could not be asked, which says nothing about the canary. */
  readonly halt?: string
  /** Holds the weight and counts as nothing: the primary fails the very same check. */
  readonly inBothArms?: string
}

/** How many live requests each arm served since the last complete poll, from counters. */
export type ArmCounts = { readonly requests: number; readonly failures: number }
