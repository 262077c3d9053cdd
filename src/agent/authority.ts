import type { Canary } from '#api/canary.ts'
import type { Actor } from '#api/commands.ts'
import { formatDuration } from '#api/duration.ts'
import { FLAGGER_GROUP, type Command } from '#api/names.ts'
import { objectKey } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import type { Log } from '#kube/log.ts'
import { commandAgeMs, type EffectivePolicy } from '#policy/effective.ts'
import { commandText } from '#rollout/commands.ts'
import type { CommandSeen } from '#rollout/decision.ts'
import { timestamp } from '#rollout/status.ts'

/** Asks the API server whether somebody has a verb on a Canary. */
export type AccessReview = (actor: Actor, verb: string, canary: Canary) => Promise<boolean>

/** Who may command what. Commands that nobody has judged yet are not shown to the core, so that none is obeyed too early. */
export type Authority = {
  /** Judges the commands that are new. Never rejects: what could not be asked is asked again. */
  judge(canary: Canary, commands: readonly CommandSeen[], policy: EffectivePolicy, now: number, isFrozen: boolean): Promise<void>
  /** The commands that may be shown to the core, each with what was found. */
  judged(canary: Canary, commands: readonly CommandSeen[], policy: EffectivePolicy, now: number): readonly CommandSeen[]
  /** Some command could not be judged: look again soon. */
  isOpen(key: string): boolean
  forget(key: string): void
}

/** Beside a command's own verb, where it goes past a freeze window. */
export const VERB_OVERRIDE_FREEZE = 'override-freeze'
const PAST_FREEZE: readonly Command[] = ['promote', 'skip-step']
/** What `annotate ...=true` says about why, which is nothing. */
const NO_REASON: readonly string[] = ['', 'true', 'flagger.app/promote']

type Verdict = { readonly rule: string } | { readonly refused: string }

export const accessReviewOf = (client: KubeClient): AccessReview => async ({ username, groups }, verb, { metadata }) => {
  const answer = await client.raw('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    body: {
      apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview',
      spec: { user: username, groups, resourceAttributes: { group: FLAGGER_GROUP, resource: 'canaries', verb, name: metadata.name, namespace: metadata.namespace ?? '' } },
    },
  }) as { readonly status?: { readonly allowed?: boolean } }
  return answer.status?.allowed === true
}

/** Why a command does not count any more: whoever gave it may mean it no longer. */
function expiryOf({ givenAt }: CommandSeen, policy: EffectivePolicy, now: number): string | undefined {
  const ageMs = commandAgeMs(policy)
  if (givenAt === undefined || now - givenAt <= ageMs) return undefined
  return `it was given at ${timestamp(givenAt)} and holds for ${formatDuration(ageMs)}: if it is still meant, give it again`
}

export function createAuthority(mayAccess: AccessReview, log: Log): Authority {
  const verdicts = new Map<string, Map<string, Verdict>>()
  const open = new Set<string>()
  const isNew = ({ status }: Canary, command: CommandSeen): boolean => !(status?.gate?.taken ?? []).includes(commandText(command))

  async function verdictOn(canary: Canary, command: CommandSeen, policy: EffectivePolicy, isFrozen: boolean): Promise<Verdict> {
    const { namespace = '', name } = canary.metadata
    const from = `policy ${policy.authority.map((one) => `"${one}"`).join(', ')}`
    if (NO_REASON.includes(command.reason)) {
      return { refused: `it needs a reason (${from}): kubectl -n ${namespace} annotate canary/${name} canarygate.dev/${command.command}="<why>"` }
    }
    const { actor } = command
    if (!actor) return { refused: `nobody has signed it: CanaryGate's webhook was not reached when it was given (${from}); give it again` }
    const verbs = [command.command, ...(isFrozen && PAST_FREEZE.includes(command.command) ? [VERB_OVERRIDE_FREEZE] : [])]
    for (const verb of verbs) {
      if (!(await mayAccess(actor, verb, canary))) return { refused: `${actor.username} lacks the verb ${verb} on canaries.${FLAGGER_GROUP} in namespace ${namespace} (${from})` }
    }
    return { rule: `verb ${verbs.join(' and ')} (${from})` }
  }

  return {
    async judge(canary, commands, policy, now, isFrozen) {
      const key = objectKey(canary.metadata)
      open.delete(key)
      const known = verdicts.get(key)
      const fresh = new Map<string, Verdict>()
      for (const command of commands) {
        if (policy.authority.length === 0 || !isNew(canary, command) || expiryOf(command, policy, now)) continue
        const text = commandText(command)
        try {
          const verdict = known?.get(text) ?? await verdictOn(canary, command, policy, isFrozen)
          if (!known?.has(text)) log.info({ canary: key, command: command.command, by: command.by, reason: command.reason, ...verdict }, 'command judged')
          fresh.set(text, verdict)
        } catch (err) {
          open.add(key)
          log.warn({ err, canary: key, command: command.command }, 'command could not be judged')
        }
      }
      if (fresh.size > 0) verdicts.set(key, fresh)
      else verdicts.delete(key)
    },
    judged(canary, commands, policy, now) {
      const known = verdicts.get(objectKey(canary.metadata))
      return commands.flatMap((command): CommandSeen[] => {
        // One that was taken already has to be seen until it is gone, whoever gave it.
        if (!isNew(canary, command)) return [command]
        const expired = expiryOf(command, policy, now)
        if (expired !== undefined) return [{ ...command, refused: expired }]
        if (policy.authority.length === 0) return [{ ...command, rule: 'may update the object' }]
        const verdict = known?.get(commandText(command))
        return verdict ? [{ ...command, ...verdict }] : []
      })
    },
    isOpen: (key) => open.has(key),
    forget(key) {
      verdicts.delete(key)
      open.delete(key)
    },
  }
}
