import { GATE_GROUP } from '#api/names.ts'

/** On a Canary: `"true"` turns the refusal of intervals below ten seconds into a warning. For tests and demonstrations. */
export const ANNOTATION_SHORT_INTERVAL = `${GATE_GROUP}/allow-short-interval`

/** Of ClusterCanaryPolicy and CanaryPolicy. */
export const GATE_API_VERSION = `${GATE_GROUP}/v1alpha1`
