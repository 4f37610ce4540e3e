//! The text of a script that hands a job array to Slurm, and perhaps a job that follows it.

use std::path::PathBuf;

use super::nodes::SeenByNodes;
use crate::shell_words::quoted_path;

/// A script.
pub struct Submission {
    /// What the whole does, on a line.
    pub title: String,
    /// What is needed to start anything.
    pub nodes: SeenByNodes,
    /// What Slurm makes of stdout and stderr goes into this folder, which the script makes for its owner alone.
    pub outputs: PathBuf,
    /// The array.
    pub array: Job,
    /// How many tasks it has.
    pub tasks: usize,
    /// What follows when every task has ended, in whatever way.
    pub after: Option<Job>,
}

/// A task of an array, or a job by itself.
pub struct Job {
    /// As Slurm shows it.
    pub name: String,
    /// Cores.
    pub cpus: usize,
    /// Whether it needs a GPU.
    pub gpu: bool,
    /// Bash, in the working folder.
    pub body: String,
}

impl Submission {
    /// The script.
    ///
    /// # Errors
    /// A path that cannot be put into one.
    pub fn text(&self) -> anyhow::Result<String> {
        let Self {
            title,
            nodes,
            array,
            tasks,
            ..
        } = self;
        let start = self.start()?;
        let folder = quoted_path(&nodes.working_folder)?;
        let outputs = quoted_path(&self.outputs)?;
        // Slurm has patterns of its own in the names of these files.
        let pattern = outputs.replace('%', "%%");
        let directive = format!("#SBATCH --array=1-{tasks}\n");
        let array = array.text(&directive, &start);
        let name = &self.array.name;
        let mut text = format!(
            r#"#!/usr/bin/env bash
# {title}
# Made by experiments {version}.
#
#   bash THIS-FILE [OPTIONS OF sbatch]        for instance --partition=long --time=8:00:00 --mem-per-cpu=4G
#
# Every node must see these at the paths that they have here: the program and libtorch, the working folder, the output
# folder, and the data if they are a folder. The file system of the output folder must have locks that all nodes share.
# A task that is stopped or loses its node goes on when Slurm has queued it again. After a failure or at the end of its
# time it is not queued again: run this once more, and what is finished stays.
set -euo pipefail

cd {folder}
(umask 077 && mkdir -p {outputs})

array=$(sbatch --parsable --output={pattern}/{name}-%A-%a.txt "$@" <<'END_OF_JOB'
{array}END_OF_JOB
)
# On a federation of clusters it is JOB;CLUSTER.
array=${{array%%;*}}
echo "job $array: {name}, {tasks} tasks; what they say goes to "{outputs}
"#,
            version = env!("CARGO_PKG_VERSION"),
        );
        if let Some(job) = &self.after {
            let after = job.text("", &start);
            let name = &job.name;
            text += &format!(
                r#"
after=$(sbatch --parsable --output={pattern}/{name}-%j.txt "$@" --dependency="afterany:$array" <<'END_OF_JOB'
{after}END_OF_JOB
)
echo "job ${{after%%;*}}: {name}, when all of these have ended"
"#
            );
        }
        Ok(text)
    }

    /// What each job does first.
    fn start(&self) -> anyhow::Result<String> {
        let nodes = &self.nodes;
        let files: Vec<String> = nodes
            .files()
            .map(|file| quoted_path(&file))
            .collect::<anyhow::Result<_>>()?;
        let mut start = format!(
            r#"set -euo pipefail
for file in {}; do
    if [[ ! -e $file ]]; then
        echo "the node $(hostname) does not see $file; every node must, at this path" >&2
        exit 2
    fi
done
cd {}
"#,
            files.join(" "),
            quoted_path(&nodes.working_folder)?,
        );
        if let Some(libtorch) = &nodes.libtorch {
            start += &format!(
                "export LD_LIBRARY_PATH={}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n",
                quoted_path(libtorch)?
            );
        }
        Ok(start)
    }
}

impl Job {
    fn text(&self, directive: &str, start: &str) -> String {
        let Self {
            name,
            cpus,
            gpu,
            body,
        } = self;
        let gpu = if *gpu { "#SBATCH --gres=gpu:1\n" } else { "" };
        format!(
            "#!/usr/bin/env bash\n#SBATCH --job-name={name}\n{directive}#SBATCH --requeue\n#SBATCH --open-mode=append\n\
             #SBATCH --cpus-per-task={cpus}\n{gpu}{start}{body}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;

    fn job(name: &str, body: &str) -> Job {
        Job {
            name: name.into(),
            cpus: 3,
            gpu: name == "first",
            body: body.into(),
        }
    }

    /// Bash runs the script with an `sbatch` that keeps what it is given, and then what it was given.
    #[test]
    fn bash_hands_over_an_array_and_what_follows_it_from_folders_with_any_name() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("it's 100% \"$HOME\" here");
        fs::create_dir(&folder).expect("made");
        let program = folder.join("program");
        fs::write(&program, "").expect("written");
        let submission = Submission {
            title: "A test.".into(),
            nodes: SeenByNodes {
                program,
                libtorch: None,
                working_folder: folder.clone(),
            },
            outputs: "out put".into(),
            array: job("first", "echo \"task $SLURM_ARRAY_TASK_ID in $PWD\"\n"),
            tasks: 7,
            after: Some(job("second", "echo after\n")),
        };
        let text = submission.text().expect("a script");
        let tools = root.path().join("tools");
        fs::create_dir(&tools).expect("made");
        fs::write(
            tools.join("sbatch"),
            "#!/bin/sh\nn=$(ls \"$KEPT\" | wc -l)\ncat >\"$KEPT/job-$n\"\nprintf '%s\\n' \"$@\" >\"$KEPT/words-$n\"\necho \"4$n;cluster\"\n",
        )
        .expect("written");
        let kept = root.path().join("kept");
        fs::create_dir(&kept).expect("made");
        let chmod = Command::new("chmod")
            .arg("+x")
            .arg(tools.join("sbatch"))
            .status();
        assert!(chmod.expect("asked").success());
        let path = format!(
            "{}:{}",
            tools.display(),
            std::env::var("PATH").expect("set")
        );
        let script = root.path().join("script");
        fs::write(&script, &text).expect("written");
        let output = Command::new("bash")
            .arg(&script)
            .args(["--partition", "two words"])
            .envs([
                ("PATH", path.as_str()),
                ("KEPT", kept.to_str().expect("text")),
            ])
            .output()
            .expect("bash");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            said.contains("job 40: first, 7 tasks") && said.contains("job 42: second"),
            "{said}"
        );
        assert!(folder.join("out put").is_dir());

        let read = |name: &str| fs::read_to_string(kept.join(name)).expect("kept");
        let first = read("job-0");
        for line in [
            "--array=1-7",
            "--requeue",
            "--cpus-per-task=3",
            "--gres=gpu:1",
            "--open-mode=append",
        ] {
            assert!(first.contains(&format!("\n#SBATCH {line}\n")), "{first}");
        }
        assert!(
            read("words-0").contains("--output=out put/first-%A-%a.txt\n--partition\ntwo words\n")
        );
        assert!(read("words-2").contains("two words\n--dependency=afterany:40\n"));
        assert!(!read("job-2").contains("--array") && !read("job-2").contains("--gres"));

        let run = |seen: &Path| {
            let job = read("job-0").replace("/program", seen.to_str().expect("text"));
            let mut bash = Command::new("bash");
            let bash = bash
                .env("SLURM_ARRAY_TASK_ID", "5")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = bash.spawn().expect("bash");
            std::io::Write::write_all(&mut child.stdin.take().expect("piped"), job.as_bytes())
                .expect("taken");
            child.wait_with_output().expect("it ends")
        };
        let output = run(Path::new("/program"));
        let said = String::from_utf8(output.stdout).expect("text");
        assert_eq!(said, format!("task 5 in {}\n", folder.display()));
        let blind = run(Path::new("/elsewhere"));
        assert_eq!(blind.status.code(), Some(2));
        let errors = String::from_utf8(blind.stderr).expect("text");
        assert!(
            errors.contains("does not see") && errors.contains("elsewhere"),
            "{errors}"
        );
    }
}
