import type { Patch } from '#admission/json-patch.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { ADMISSION_API_VERSION } from '#admission/review.ts'

type Cause = { readonly reason: 'FieldValueInvalid'; readonly field: string; readonly message: string }

/** The response of an AdmissionReview without its uid. */
export type Answer = {
  readonly allowed: boolean
  readonly warnings?: readonly string[]
  /** Into the API server's audit log, each key behind the webhook's name. */
  readonly auditAnnotations?: Readonly<Record<string, string>>
  /** Base64; always together with `patchType`. */
  readonly patch?: string
  readonly patchType?: 'JSONPatch'
  readonly status?: {
    readonly status: 'Failure'
    readonly code: number
    readonly reason: 'Forbidden' | 'InternalError'
    readonly message: string
    readonly details?: { readonly causes: readonly Cause[] }
  }
}

/** What happens to a request when the hook that should judge it cannot: as `failurePolicy` of its webhook says. */
export type FailurePolicy = 'Fail' | 'Ignore'

/** Above this many characters the API server may cut a single warning. */
const MAX_WARNING_CHARS = 256
/** All warnings of one answer together; the API server drops what comes after. */
const MAX_WARNINGS_CHARS = 4_096
/** Of one audit annotation: enough for a handful of findings in a log that holds every request. */
const MAX_AUDIT_CHARS = 2_048
const ELLIPSIS = '...'
const PREFIX = 'CanaryGate: '

const ALLOWED: Answer = { allowed: true }

export const allowed = (warnings: readonly string[] = []): Answer =>
  warnings.length === 0 ? ALLOWED : { allowed: true, warnings: fitWarnings(warnings) }

/** Without operations there is no patch at all: an empty one would still cost the API server a decode. */
export function patched(patch: Patch, warnings: readonly string[] = []): Answer {
  if (patch.length === 0) return allowed(warnings)
  return { ...allowed(warnings), patch: Buffer.from(JSON.stringify(patch)).toString('base64'), patchType: 'JSONPatch' }
}

/** Refuses with everything that is wrong: those findings of severity `deny`. The others are only said. */
export function denied(findings: readonly ReportedFinding[]): Answer {
  const faults = findings.filter((finding) => finding.severity === 'deny')
  const warnings = warningsOf(findings)
  return {
    ...allowed(warnings),
    allowed: false,
    status: {
      status: 'Failure',
      code: 403,
      // Not `Invalid`: there kubectl prints the causes alone, and nobody learns who refused.
      reason: 'Forbidden',
      message: faults.length === 1 && faults[0] ? sentence(faults[0])
        : [`${faults.length} faults`, ...faults.map((fault) => `  - ${sentence(fault)}`)].join('\n'),
      details: { causes: faults.map((fault) => ({ reason: 'FieldValueInvalid', field: fault.field, message: `${fault.message}; ${fault.fix}` })) },
    },
  }
}

/** What a policy only wants counted stands in the audit log, and nowhere on the user's terminal. */
export function audited(answer: Answer, findings: readonly ReportedFinding[]): Answer {
  const silent = findings.filter(({ severity }) => severity === 'audit')
  if (silent.length === 0) return answer
  return { ...answer, auditAnnotations: { findings: cut(oneLine(silent.map(sentence).join(' | ')), MAX_AUDIT_CHARS) } }
}

export function errored(err: unknown, failurePolicy: FailurePolicy = 'Fail'): Answer {
  const message = `CanaryGate could not judge this request: ${err instanceof Error ? err.message : String(err)}`
  if (failurePolicy === 'Ignore') return allowed([`${message}; it passes without a canary`])
  return { allowed: false, status: { status: 'Failure', code: 500, reason: 'InternalError', message } }
}

/** The softer findings as kubectl's `Warning:` lines; `audit` and `off` are not for the user's terminal. */
export const warningsOf = (findings: readonly ReportedFinding[]): string[] =>
  findings.filter((finding) => finding.severity === 'warn').map((finding) => PREFIX + sentence(finding))

/** The whole AdmissionReview, serialised once. */
export const renderReview = (uid: string, answer: Answer): string =>
  JSON.stringify({ apiVersion: ADMISSION_API_VERSION, kind: 'AdmissionReview', response: { uid, ...answer } })

/** Warnings travel in one HTTP header: one line each, no control characters, and few enough that none is cut off half way. */
export function fitWarnings(warnings: readonly string[]): string[] {
  const fitted: string[] = []
  let room = MAX_WARNINGS_CHARS
  for (const [index, warning] of warnings.entries()) {
    const line = cut(oneLine(warning), MAX_WARNING_CHARS)
    const rest = `${PREFIX}${warnings.length - index} more warnings`
    const isLast = index === warnings.length - 1
    if (line.length + (isLast ? 0 : rest.length) > room) return [...fitted, rest]
    fitted.push(line)
    room -= line.length
  }
  return fitted
}

const sentence = (finding: ReportedFinding): string => `${finding.field}: ${finding.message}; ${finding.fix} [${finding.rule}]`

/** Printable ASCII without two spaces in a row is one line already; looking is cheaper than replacing. */
const ONE_LINE = /^(?:[!-~]+(?: |$))*$/
const oneLine = (text: string): string => (ONE_LINE.test(text) ? text : text.replaceAll(/[\p{Cc}\s]+/gu, ' ')).trim()

function cut(text: string, limit: number): string {
  if (text.length <= limit) return text
  // A cut in the middle of a surrogate pair would leave half a character, which is no valid UTF-8.
  return text.slice(0, limit - ELLIPSIS.length).replace(/[\uD800-\uDBFF]$/, '') + ELLIPSIS
}
