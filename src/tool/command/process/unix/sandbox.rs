//! What a command may reach, enforced by the kernel: files by Landlock, the network and dangerous system calls
//! by seccomp. Where the kernel cannot do all of what a tool asks for, the tool does not run, unless it says
//! that less will do.

use super::super::super::job::Program;
use crate::domain::tool::command::{Sandbox, SandboxLevel};

/// How a command will be kept in, for the record.
pub fn describe(sandbox: &Sandbox) -> String {
    match sandbox.level {
        SandboxLevel::None => "none".to_owned(),
        SandboxLevel::Files if !sandbox.best_effort => "files".to_owned(),
        SandboxLevel::Files if kernel::offers_files() => "files, best effort".to_owned(),
        SandboxLevel::Files => "system calls, best effort".to_owned(),
    }
}

/// Shuts this process, and what it becomes, in.
///
/// # Errors
/// What the kernel does not do: the program must not run.
pub fn enter(program: &Program) -> Result<(), String> {
    match program.sandbox.level {
        SandboxLevel::None => Ok(()),
        SandboxLevel::Files => {
            let refused = |why: String| format!("the sandbox `files` cannot be had here: {why}");
            kernel::files(program).map_err(refused)?;
            kernel::rights().map_err(refused)?;
            kernel::calls(&program.sandbox).map_err(refused)
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, Scope, path_beneath_rules,
    };
    use rustix::thread::CapabilitySet;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };

    use super::{Program, Sandbox};

    /// What every kernel must do that keeps files in: reading, writing, moving between folders, cutting off.
    const FILES: ABI = ABI::V3;
    /// What is taken on top where there is more: devices, sockets that are files.
    const MORE: ABI = ABI::V10;

    /// Programs, libraries and what they cannot do without.
    const SYSTEM: &[&str] = &[
        "/bin",
        "/sbin",
        "/usr",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/etc",
        "/proc",
        "/nix/store",
        "/sys/devices/system/cpu",
        "/run/systemd/resolve",
        "/dev/random",
        "/dev/urandom",
        "/dev/zero",
    ];
    /// Devices that take anything.
    const SINKS: &[&str] = &["/dev/null", "/dev/full"];

    /// Whether this kernel keeps files in at all.
    pub fn offers_files() -> bool {
        let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        asked.handle_access(AccessFs::from_all(FILES)).and_then(Ruleset::create).is_ok()
    }

    /// Files and ports, by Landlock.
    pub fn files(program: &Program) -> Result<(), String> {
        let sandbox = &program.sandbox;
        let told = |error: &dyn std::error::Error| format!("{error} (Landlock; Linux 6.2, for ports 6.7)");
        let level = if sandbox.best_effort { CompatLevel::BestEffort } else { CompatLevel::HardRequirement };
        let mut rules = Ruleset::default().set_compatibility(level);
        rules = rules.handle_access(AccessFs::from_all(FILES)).map_err(|error| told(&error))?;
        if !sandbox.network.is_empty() {
            rules = rules.handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp).map_err(|error| told(&error))?;
        }
        rules = rules.set_compatibility(CompatLevel::BestEffort);
        rules = rules.handle_access(AccessFs::from_all(MORE)).map_err(|error| told(&error))?;
        rules = rules.scope(Scope::from_all(MORE)).map_err(|error| told(&error))?;
        let mut created = rules.create().map_err(|error| told(&error))?;
        let (read, write) = (AccessFs::from_read(MORE), AccessFs::from_all(MORE));
        if let Some(path) = sandbox.read.iter().chain(&sandbox.write).find(|path| !path.exists()) {
            return Err(format!("there is no `{}`", path.display()));
        }
        let own = std::iter::once(&program.file).chain(&program.script).map(|pinned| pinned.path.clone());
        let readable: Vec<PathBuf> =
            SYSTEM.iter().map(PathBuf::from).chain(own).chain(sandbox.read.iter().cloned()).collect();
        let private = [program.private.join("home"), program.private.join("tmp")];
        let writable: Vec<&Path> =
            SINKS.iter().map(Path::new).chain(private.iter().chain(&sandbox.write).map(PathBuf::as_path)).collect();
        created = created.add_rules(path_beneath_rules(readable, read)).map_err(|error| told(&error))?;
        created = created.add_rules(path_beneath_rules(writable, write)).map_err(|error| told(&error))?;
        for port in &sandbox.network {
            created = created.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(|error| told(&error))?;
        }
        created.restrict_self().map(|_| ()).map_err(|error| told(&error))
    }

    /// What makes root more than a user who may touch every file: with it, the walls above have doors. As
    /// `no_new_privs` is set by now, what is given up here no program gets back.
    pub fn rights() -> Result<(), String> {
        let told = |error: rustix::io::Errno| format!("{error} (capabilities)");
        let mut sets = rustix::thread::capabilities(None).map_err(told)?;
        sets.effective &= KEPT;
        sets.permitted &= KEPT;
        sets.inheritable = CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).map_err(told)
    }

    /// Files and users of its own making; looking into other processes and at the kernel is not among them.
    const KEPT: CapabilitySet = CapabilitySet::CHOWN
        .union(CapabilitySet::DAC_OVERRIDE)
        .union(CapabilitySet::FOWNER)
        .union(CapabilitySet::FSETID)
        .union(CapabilitySet::KILL)
        .union(CapabilitySet::SETGID)
        .union(CapabilitySet::SETUID);

    /// System calls that no tool needs, and the network where none is declared, by seccomp.
    pub fn calls(sandbox: &Sandbox) -> Result<(), String> {
        let mut denied: BTreeMap<i64, Vec<SeccompRule>> = NEVER.iter().map(|call| (*call, Vec::new())).collect();
        // TIOCSTI types into a terminal, TIOCLINUX pastes into one.
        denied.insert(libc::SYS_ioctl, any(1, &[0x5412, 0x541c])?);
        let namespaces = SeccompCmpOp::MaskedEq(libc::CLONE_NEWUSER as u64);
        denied.insert(libc::SYS_clone, vec![one(0, namespaces, libc::CLONE_NEWUSER as u64)?]);
        if sandbox.network.is_empty() {
            let families = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_VSOCK];
            denied.insert(libc::SYS_socket, any(0, &families.map(|family| family as u64))?);
        }
        apply(denied, libc::EPERM)?;
        // Its flags are in memory, where no filter sees them; libraries then use `clone`.
        apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
    }

    fn apply(denied: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<(), String> {
        let arch = std::env::consts::ARCH.try_into().map_err(|error| format!("{error} (seccomp)"))?;
        let filter = SeccompFilter::new(denied, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch);
        let filter: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| format!("{error} (seccomp)"))?;
        seccompiler::apply_filter(&filter).map_err(|error| format!("{error} (seccomp)"))
    }

    fn any(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, String> {
        values.iter().map(|value| one(argument, SeccompCmpOp::Eq, *value)).collect()
    }

    fn one(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, String> {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value);
        condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(|error| error.to_string())
    }

    /// Looking into other processes, programming the kernel, its keys, modules, mounts, namespaces and clocks.
    const NEVER: &[i64] = &[
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
    ];
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{Program, Sandbox};

    /// Nothing but Linux has this.
    pub const fn offers_files() -> bool {
        false
    }

    /// Files stay reachable.
    pub fn files(program: &Program) -> Result<(), String> {
        if program.sandbox.best_effort { Ok(()) } else { Err("only Linux keeps commands in".to_owned()) }
    }

    /// Rights stay what they are.
    pub const fn rights() -> Result<(), String> {
        Ok(())
    }

    /// System calls stay allowed.
    pub fn calls(_: &Sandbox) -> Result<(), String> {
        Ok(())
    }
}
