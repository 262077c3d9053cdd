import { commandAnnotation, FIELD_MANAGER, FLAGGER_API_VERSION, type Command } from '#api/names.ts'
import { connect, type Where } from '#cli/cluster.ts'
import { InputError } from '#cli/input.ts'
import { isNotFound } from '#kube/error.ts'

export type CommandOptions = Where & { readonly command: Command; readonly name: string; readonly namespace: string | undefined; readonly reason: string }

/**
 * Asks the agent for something, as `kubectl annotate` would. Who asks is put on record by the webhook; whether they may, and whether it
 * makes sense now, the agent says in an event.
 */
export async function giveCommand({ command, name, reason, ...where }: CommandOptions): Promise<string> {
  if (reason.trim() === '') throw new InputError(`--reason is empty: say why (${command}), it goes on record`)
  const { client, namespace: own, inWords } = await connect(where)
  const namespace = where.namespace ?? own
  try {
    const ref = { apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace, name }
    await client.patch(ref, { metadata: { annotations: { [commandAnnotation(command)]: reason } } }, 'merge', { fieldManager: `${FIELD_MANAGER}-cli` })
    return `canary.flagger.app/${name}: ${command} asked for; see: kubectl -n ${namespace} describe canary ${name}\n`
  } catch (err) {
    if (isNotFound(err)) throw new InputError(`no Canary ${name} in namespace ${namespace}`)
    throw inWords(err)
  } finally {
    await client.close()
  }
}
