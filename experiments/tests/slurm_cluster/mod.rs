//! Two nodes of a real Slurm on this machine, which end with the test: nobody's settings, no service, ports of their own.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A controller and its nodes `n1` and `n2`, of one core each.
pub struct Cluster {
    folder: TempDir,
    /// No other cluster has it; every process of a job has it in its environment.
    name: String,
    nodes: Vec<Child>,
    /// In the order in which they end.
    daemons: Vec<Child>,
}

impl Cluster {
    /// Starts one. None where Slurm is not installed, and `MYELIN_REQUIRE_SLURM` does not ask for it.
    ///
    /// # Panics
    /// If it is asked for and missing, or does not start.
    pub fn start() -> Option<Self> {
        let missing = PROGRAMS.iter().find(|name| found(name).is_none());
        if let Some(missing) = missing {
            let words = format!(
                "there is no {missing} on this machine: apt-get install slurmctld slurmd slurm-client munge"
            );
            assert!(env::var_os("MYELIN_REQUIRE_SLURM").is_none(), "{words}");
            eprintln!("skipped: {words}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let name = format!(
            "myelin{}",
            folder.path().file_name().expect("named").display()
        )
        .replace(|character: char| !character.is_ascii_alphanumeric(), "")
        .to_lowercase();
        let mut cluster = Self {
            folder,
            name,
            nodes: Vec::new(),
            daemons: Vec::new(),
        };
        cluster.start_daemons();
        Some(cluster)
    }

    fn start_daemons(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let munge = path("munge");
        for folder in [&munge, &path("state")] {
            fs::create_dir(folder).expect("made");
        }
        // munged wants everybody to reach its socket.
        for folder in [self.folder.path(), &munge] {
            set_mode(folder, 0o711);
        }
        let mut key = [0; 128];
        getrandom::fill(&mut key).expect("the system has some");
        fs::write(munge.join("key"), key).expect("written");
        set_mode(&munge.join("key"), 0o600);
        let option = |name: &str| format!("--{name}-file={}", munge.join(name).display());
        let mut munged = self.daemon("munged", &["--foreground"]);
        let munged = munged
            .args(["key", "pid", "log", "seed"].map(option))
            .arg(format!("--socket={}", munge.join("socket").display()));
        self.daemons
            .insert(0, munged.spawn().expect("munged starts"));
        self.until("munged has no socket", |_| munge.join("socket").exists());

        fs::write(self.conf(), self.settings(&munge.join("socket"))).expect("written");
        let controller = self.daemon("slurmctld", &["-D"]).spawn();
        self.daemons
            .insert(0, controller.expect("slurmctld starts"));
        for node in NODES {
            let node = self.daemon("slurmd", &["-D", "-N", node]).spawn();
            self.nodes.push(node.expect("slurmd starts"));
        }
        self.until("the nodes do not come up", |cluster| {
            cluster
                .asked("sinfo", &["-h", "-N", "-o", "%T"])
                .lines()
                .filter(|state| *state == "idle")
                .count()
                == 2
        });
    }

    /// Slurm's settings.
    fn settings(&self, socket: &Path) -> String {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has one");
        let host = host.trim().split('.').next().expect("a name");
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [controller, first, second] =
            listeners.map(|listener| listener.local_addr().expect("bound").port());
        let user = self.output(Command::new("id").arg("-un"));
        let user = user.trim();
        let folder = self.folder.path().display();
        format!(
            "ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=6
MessageTimeout=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 RealMemory=1000
PartitionName=all Nodes=n1,n2 Default=YES State=UP MaxTime=INFINITE
",
            name = self.name,
            socket = socket.display(),
        )
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn daemon(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(found(program).expect("it was found"));
        let command_ = command.args(arguments).env("SLURM_CONF", self.conf());
        command_
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// A command that talks to this cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(found(program).unwrap_or_else(|| PathBuf::from(program)));
        command.env("SLURM_CONF", self.conf());
        command
    }

    fn output(&self, command: &mut Command) -> String {
        let Output { stdout, .. } = command.output().expect("it starts");
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// What a command of Slurm prints.
    pub fn asked(&self, program: &str, arguments: &[&str]) -> String {
        self.output(self.command(program).args(arguments))
    }

    /// The tasks and jobs that have not ended: `JOB_TASK STATE NODE`.
    pub fn queue(&self) -> Vec<String> {
        let lines = self.asked("squeue", &["-h", "-r", "-o", "%F_%K %T %N"]);
        lines.lines().map(str::to_owned).collect()
    }

    /// Slurm lets a task that lost its node wait for two minutes; not this one.
    pub fn hurry(&self, task: &str) {
        self.asked(
            "scontrol",
            &["update", &format!("JobId={task}"), "StartTime=now"],
        );
    }

    /// A node loses its power: its daemon goes, and all processes on it.
    pub fn kill_node(&mut self, place: usize) {
        self.nodes[place].kill().expect("it runs");
        self.nodes[place].wait().expect("it ends");
        let jobs = self.processes(Some(NODES[place]));
        // Those who would tell of it go first.
        let (parents, jobs): (Vec<_>, Vec<_>) =
            (jobs.iter().filter_map(|&job| step_of(job)).collect(), jobs);
        assert!(!parents.is_empty(), "nothing ran there");
        kill("-KILL", &parents);
        kill("-KILL", &jobs);
    }

    /// Of jobs, on this node or on all.
    fn processes(&self, node: Option<&str>) -> Vec<u32> {
        let of_cluster = format!("SLURM_CLUSTER_NAME={}", self.name);
        let of_node = node.map(|node| format!("SLURMD_NODENAME={node}"));
        let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |wanted: &str| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|one| one == wanted.as_bytes())
            };
            has(&of_cluster) && of_node.as_deref().is_none_or(has)
        })
        .collect()
    }

    /// Waits, or panics with these words and what the controller says.
    pub fn until(&self, or: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            if began.elapsed() > Duration::from_secs(300) {
                let log = fs::read_to_string(self.folder.path().join("slurmctld.log"))
                    .unwrap_or_default();
                panic!("{or}: {:?}\n{log}", self.queue());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        let jobs = self.processes(None);
        let parents: Vec<u32> = jobs.iter().filter_map(|&job| step_of(job)).collect();
        kill("-KILL", &parents);
        kill("-KILL", &jobs);
        for daemon in &mut self.daemons {
            // Asked, they take their children along.
            kill("-TERM", &[daemon.id()]);
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(10) && matches!(daemon.try_wait(), Ok(None))
            {
                thread::sleep(Duration::from_millis(50));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The `slurmstepd` that watches a process of a job.
fn step_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    let parent = parent.trim().parse().ok()?;
    let command = fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
    command.starts_with("slurmstepd").then_some(parent)
}

fn kill(signal: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let words = processes.iter().map(u32::to_string);
        // One that has ended meanwhile is no trouble.
        let _ = Command::new("kill")
            .arg(signal)
            .args(words)
            .stderr(Stdio::null())
            .status();
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Daemons lie where only root's path leads.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

const NODES: [&str; 2] = ["n1", "n2"];
const PROGRAMS: [&str; 7] = [
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "scontrol",
    "sinfo",
];
