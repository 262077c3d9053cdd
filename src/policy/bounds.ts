/** The numbers behind the rules; the generated ValidatingAdmissionPolicy holds the same ones while the webhook is down. */

/** Shortest interval: Flagger silently waits this long anyway, and two scrapes (15 s by default) hardly fit. */
export const MIN_INTERVAL_SECONDS = 10
/** Below it a check judges a handful of scrapes. */
export const RECOMMENDED_INTERVAL_SECONDS = 30
/** An analysis that takes less than this can hardly tell anything. */
export const RECOMMENDED_ANALYSIS_SECONDS = 60
export const MIN_WEIGHT = 1
export const MAX_WEIGHT = 100
export const MIN_THRESHOLD = 1
/** More failed checks than this are not caution but blindness. */
export const RECOMMENDED_MAX_THRESHOLD = 10
/** A canary that fails every check should not live longer than this. */
export const RECOMMENDED_ROLLBACK_SECONDS = 1_800
/** A first step above this exposes a large part of the users to a revision nobody has seen serve yet. */
export const RECOMMENDED_FIRST_WEIGHT = 30
/** A pull and a start hardly fit into less. */
export const RECOMMENDED_DEADLINE_SECONDS = 60
/** Percentage points by which a replica ratio may miss the weight before it is worth a word. */
export const TOLERATED_WEIGHT_ERROR = 2
/** A success rate below this is hardly a criterion. */
export const RECOMMENDED_SUCCESS_RATE = 90
export const MAX_PORT = 65_535
