import { crdFiles } from './crds.ts'
import { writeOrCheck } from './files.ts'
import { rulesPage } from './rules.ts'
import { vapFile } from './vap.ts'

/** Everything that is generated: CRDs, the page of the rules, the admission policies. `--check` writes nothing and exits 1 on a difference. */
process.exitCode = writeOrCheck([...crdFiles(), rulesPage(), vapFile()])
