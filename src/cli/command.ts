import { commandAnnotation, FIELD_MANAGER, FLAGGER_API_VERSION, type Command } from '#api/names.ts'
import { connect } from '#cli/cluster.ts'
import { InputError } from '#cli/input.ts'
import { isNotFound, KubeError } from '#kube/error.ts'

export type CommandOptions = { readonly command: Command; readonly name: string; readonly namespace: string; readonly reason: string; readonly kubeconfig: string | undefined }

/**
 * Asks the agent for something, as `kubectl annotate` would. Who asks is put on record by the webhook; whether they may, and whether it
 * makes sense now, the agent says in an event.
 */
export async function giveCommand({ command, name, namespace, reason, kubeconfig }: CommandOptions): Promise<string> {
  if (reason.trim() === '') throw new InputError(`--reason is empty: say why you ${command}, it goes on record`)
  const client = await connect(kubeconfig)
  try {
    const ref = { apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace, name }
    await client.patch(ref, { metadata: { annotations: { [commandAnnotation(command)]: reason } } }, 'merge', { fieldManager: `${FIELD_MANAGER}-cli` })
    return `canary.flagger.app/${name}: ${command} asked for; see: kubectl -n ${namespace} describe canary ${name}\n`
  } catch (err) {
    if (isNotFound(err)) throw new InputError(`no Canary ${name} in namespace ${namespace}`)
    if (err instanceof KubeError) throw new InputError(err.message)
    throw err
  } finally {
    await client.close()
  }
}
