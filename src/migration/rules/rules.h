// rules.h - every rule by name, one file each; all_rules() lists them (registry.cpp).
#pragma once

#include "migration/rules/rule.h"

namespace syzygy {

extern const Rule kAddNotNullColumn;
extern const Rule kDefaultDroppedAtOnce;
extern const Rule kDomainConstraint;
extern const Rule kDropColumn;
extern const Rule kDropDefault;
extern const Rule kDropRoutineOrType;
extern const Rule kDropSchema;
extern const Rule kDropTable;
extern const Rule kDropUnique;
extern const Rule kDropView;
extern const Rule kMoveOrRenameSchema;
extern const Rule kNarrowType;
extern const Rule kNewCheck;
extern const Rule kNewForeignKey;
extern const Rule kNewUnique;
extern const Rule kRenameColumn;
extern const Rule kRenameEnumValue;
extern const Rule kRenameRoutineOrType;
extern const Rule kRenameTable;
extern const Rule kRenameView;
extern const Rule kRevoke;
extern const Rule kRowSecurity;
extern const Rule kSetNotNull;
extern const Rule kDropNotNullColumn;
extern const Rule kLoosenConstraint;
extern const Rule kAttachPartition;
extern const Rule kCheckScan;
extern const Rule kCluster;
extern const Rule kCreateIndex;
extern const Rule kCreatePartition;
extern const Rule kCreateTrigger;
extern const Rule kDetachPartition;
extern const Rule kDropIndex;
extern const Rule kExcludeScan;
extern const Rule kForeignKeyScan;
extern const Rule kLockTable;
extern const Rule kNoLockTimeout;
extern const Rule kPrimaryKeyScan;
extern const Rule kRefreshMaterializedView;
extern const Rule kReindex;
extern const Rule kSetNotNullScan;
extern const Rule kUniqueScan;
extern const Rule kUpdateEverything;
extern const Rule kVacuumFull;
extern const Rule kValidateAtOnce;
extern const Rule kWorkUnderLock;
extern const Rule kDomainColumn;
extern const Rule kGeneratedColumn;
extern const Rule kIdentityColumn;
extern const Rule kRewriteType;
extern const Rule kSerialColumn;
extern const Rule kSetAccessMethod;
extern const Rule kSetLogged;
extern const Rule kSetTablespace;
extern const Rule kVolatileDefault;
extern const Rule kBadIgnore;
extern const Rule kEnumValueInUse;
extern const Rule kHiddenInvalidIndex;
extern const Rule kIdentifierTooLong;
extern const Rule kNotInTransaction;
extern const Rule kNotUnderstood;
extern const Rule kStageAmbiguous;
extern const Rule kTransactionControl;
extern const Rule kUnreadable;
extern const Rule kUnusedIgnore;
extern const Rule kDeleteEverything;
extern const Rule kDropCascade;
extern const Rule kDroppedData;
extern const Rule kNoWayBack;
extern const Rule kOverwrittenData;
extern const Rule kTruncate;
extern const Rule kCharColumn;
extern const Rule kIntKey;
extern const Rule kJsonColumn;
extern const Rule kSerialKey;
extern const Rule kTimestampWithoutZone;
extern const Rule kUnnamedConstraint;
extern const Rule kVarcharLimit;

}  // namespace syzygy
