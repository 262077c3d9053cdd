import type { KubeObject } from '#api/objects.ts'
import { isRecord } from '#admission/json.ts'

export const ADMISSION_API_VERSION = 'admission.k8s.io/v1'

const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] as const
export type Operation = (typeof OPERATIONS)[number]

export type User = { readonly username: string; readonly groups: readonly string[] }

/** The part of an AdmissionReview's request that is used here, checked. */
export type AdmissionRequest = {
  readonly uid: string
  readonly operation: Operation
  /** API group of the resource, empty for the core group. */
  readonly group: string
  /** Plural, as in `deployments`. */
  readonly resource: string
  /** Empty when the whole object is meant. */
  readonly subResource: string
  readonly kind: string
  readonly namespace: string
  /** Empty when the server will generate one. */
  readonly name: string
  readonly user: User
  readonly dryRun: boolean
  /** Absent in a DELETE. */
  readonly object?: KubeObject
  /** Absent in a CREATE. */
  readonly oldObject?: KubeObject
}

export type ParsedReview =
  | { readonly ok: true; readonly request: AdmissionRequest }
  /** The uid is there whenever it could be found, so that even this answer reaches the right request. */
  | { readonly ok: false; readonly uid: string; readonly message: string }

/**
 * Checks the envelope by hand. A schema validator would be slower, and as fastify configures it would also coerce and strip fields
 * inside the very objects that are looked at. What is inside the objects is checked where it is read.
 */
export function parseReview(body: unknown): ParsedReview {
  if (!isRecord(body)) return malformed('', 'the body is not a JSON object')
  const { apiVersion, kind, request } = body
  const uid = isRecord(request) && typeof request['uid'] === 'string' ? request['uid'] : ''
  if (kind !== 'AdmissionReview') return malformed(uid, `kind is ${show(kind)}, not AdmissionReview`)
  if (apiVersion !== ADMISSION_API_VERSION) return malformed(uid, `apiVersion is ${show(apiVersion)}, not ${ADMISSION_API_VERSION}`)
  if (!isRecord(request)) return malformed(uid, 'request is missing')
  if (uid === '') return malformed(uid, 'request.uid is missing')
  const { operation, resource, object, oldObject } = request
  if (!isOperation(operation)) return malformed(uid, `request.operation is ${show(operation)}, not one of ${OPERATIONS.join(', ')}`)
  if (!isRecord(resource)) return malformed(uid, 'request.resource is missing')
  if (!isAbsent(object) && !isKubeObject(object)) return malformed(uid, 'request.object has no metadata')
  if (!isAbsent(oldObject) && !isKubeObject(oldObject)) return malformed(uid, 'request.oldObject has no metadata')
  return {
    ok: true,
    request: {
      uid,
      operation,
      group: text(resource['group']),
      resource: text(resource['resource']),
      subResource: text(request['subResource']),
      kind: isRecord(request['kind']) ? text(request['kind']['kind']) : '',
      namespace: text(request['namespace']),
      // A deletion of a whole collection names its objects nowhere else.
      name: text(request['name']) || text(oldObject?.metadata.name) || text(object?.metadata.name),
      user: userOf(request['userInfo']),
      dryRun: request['dryRun'] === true,
      ...(isAbsent(object) ? {} : { object }),
      ...(isAbsent(oldObject) ? {} : { oldObject }),
    },
  }
}

function userOf(info: unknown): User {
  if (!isRecord(info)) return { username: '', groups: [] }
  const groups = Array.isArray(info['groups']) ? info['groups'].filter((group): group is string => typeof group === 'string') : []
  return { username: text(info['username']), groups }
}

const malformed = (uid: string, message: string): ParsedReview => ({ ok: false, uid, message: `not an AdmissionReview: ${message}` })
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
/** The API server sends null for "none". */
const isAbsent = (value: unknown): value is null | undefined => value === null || value === undefined
const isOperation = (value: unknown): value is Operation => OPERATIONS.some((operation) => operation === value)
const isKubeObject = (value: unknown): value is KubeObject => isRecord(value) && isRecord(value['metadata'])
const show = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value)
