import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** A generated file: its path from the repository's root, and its text. */
export type GeneratedFile = { readonly path: string; readonly text: string }

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Writes the files, or with `--check` writes nothing and answers 1 when one differs from what is there. */
export function writeOrCheck(files: readonly GeneratedFile[], argv: readonly string[] = process.argv.slice(2)): number {
  const differing = files.filter((file) => read(file.path) !== file.text)
  if (argv.includes('--check')) {
    for (const file of differing) console.error(`${file.path} is out of date: run "make generate"`)
    return differing.length > 0 ? 1 : 0
  }
  for (const file of differing) {
    mkdirSync(dirname(file.path), { recursive: true })
    writeFileSync(file.path, file.text)
    console.log(`wrote ${file.path}`)
  }
  return 0
}
